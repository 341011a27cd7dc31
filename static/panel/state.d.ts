/** What the panel holds. Times are epoch seconds of the server's clock; no code. */
import type {
  ActBody, AlarmBody, Colleague, Entry, Event, Events, Failure, Lang, Marks, RecordShown, SiteFace, StaffReset,
  StaffView, ToAgent,
} from '../shared/frames.js';

export type { ActBody, AlarmBody, Colleague, Entry, Event, Events, Lang, Marks, RecordShown, SiteFace, StaffReset, StaffView };

/** What an agent asks of the server and that is answered by one ack, record or error. */
export type Verb =
  | { t: 'claim' | 'close'; conversation: string }
  | { t: 'show_record'; conversation: string; lang?: Lang }
  | { t: 'unfreeze'; conversation: string; reason: string }
  | { t: 'post' | 'note'; conversation: string; text: string }
  | { t: 'transfer'; conversation: string; agent: string }
  | { t: 'ask_check'; conversation: string; reference?: string }
  | { t: 'drop_held'; conversation: string; held: string }
  | { t: 'override'; conversation: string; held: string; reason: string }
  | { t: 'change'; conversation: string; option: string };

/** A verb on its way. `acked`: durable, its event is coming; `failed`: the server said no. */
export interface Pending {
  cid: string;
  verb: Verb;
  at: number;
  state: 'waiting' | 'acked' | 'failed';
  code?: string;
  sentence?: string;
  /** It was not sent but held. */
  isHeld?: boolean;
}

/** One conversation. `top` is the last staff-stream number applied. */
export interface Thread {
  id: string;
  view: StaffView | null;
  events: Event[];
  top: number;
  /** The next page is the base and need not join on to anything. */
  isFresh: boolean;
  /** A number was missed: the desk asks for what came after `top`. */
  hasGap: boolean;
  isLoadingOlder: boolean;
  /** It left our inbox; what is drawn is a memory. */
  isGone: boolean;
  /** The server sends nothing of it here any more, until it is watched anew. */
  isLost: boolean;
  /** It is lost, and ours again: the desk watches it anew. */
  wantsWatch: boolean;
  /** The visitor writes, until this time. */
  typingUntil: number;
  record: RecordShown | null;
  /** What staff had read, in visitor-stream numbers, when the thread was opened: where "new" begins. */
  newAfter: number;
}

export type InboxTab = 'queue' | 'mine' | 'all';
/** The column that is shown when there is room for one. */
export type Place = 'inbox' | 'thread' | 'person';

export interface Notice {
  id: number;
  /** `given`: a colleague gave us this conversation. */
  kind: 'alarm' | 'error' | 'given';
  /** '' where there is nothing to tell apart. */
  code: string;
  sentence: string;
  conversation: string;
  /** Seconds until it may be tried again; 0 when the server did not say. */
  retryAfter: number;
}

export interface State {
  phase: 'starting' | 'signed_out' | 'signed_in';
  me: Colleague | null;
  sites: SiteFace[];
  agents: Colleague[];
  epoch: string;
  /** Server's clock minus ours, seconds. */
  skew: number;
  isOnline: boolean;
  /** Our clock, when the link was last lost or begun. */
  linkSince: number;
  inbox: Record<string, Entry>;
  isInboxKnown: boolean;
  inboxTab: InboxTab;
  place: Place;
  /** Conversations that a colleague gave us and that we have not opened since. */
  given: string[];
  /** Conversations open as tabs, in order, and the one on the screen ('' for none). */
  open: string[];
  active: string;
  threads: Record<string, Thread>;
  pending: Pending[];
  notices: Notice[];
  lastNotice: number;
}

/** What happens on our side of the line. */
export type Doing =
  | { t: 'do_start'; me: Colleague | null }
  | { t: 'do_sign_out' }
  | { t: 'do_link'; online: boolean }
  | { t: 'do_open'; conversation: string }
  | { t: 'do_shut'; conversation: string }
  | { t: 'do_inbox_tab'; tab: InboxTab }
  | { t: 'do_place'; place: Place }
  | { t: 'do_verb'; cid: string; verb: Verb }
  | { t: 'do_retry'; cid: string }
  | { t: 'do_forget'; cid: string }
  | { t: 'do_older'; conversation: string }
  | { t: 'do_asked'; conversation: string }
  | { t: 'do_hide_record'; conversation: string }
  | { t: 'do_read'; conversation: string; read: number }
  | { t: 'do_dismiss'; id: number };

export type Action = Doing | ToAgent | Failure;
