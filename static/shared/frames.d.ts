/**
 * The frames as the browser sees them. The server's frames.py is the truth and docs/PROTOCOL.md tells it in words.
 * Fields with a default are left out on the wire when they hold it: they are optional here.
 */
export type Lang = 'en' | 'fr';
export type State = 'waiting' | 'assigned' | 'closed';

export interface Money { amount: number; currency: string }
export interface Face { name: string; role: string }
export interface Colleague { id: string; name: string; role: string; online?: boolean }
export interface Sender { kind: 'visitor' | 'agent' | 'system'; name?: string; role?: string; id?: string }
export interface CheckCard {
  id: string;
  state: 'offered' | 'started' | 'failed' | 'expired' | 'killed' | 'verified' | 'ended';
  until?: number;
  tries_left?: number;
  sends_left?: number;
  named?: boolean;
  late?: boolean;
  own?: boolean;
  reference?: string;
}
export interface Standing {
  level: number;
  until?: number;
  most?: number;
  idle?: number;
  contact?: string;
  reference?: string;
}
export interface SiteFace { id: string; name: string; desk?: string; accent?: string; phone?: string; online?: boolean; checks?: boolean; formats?: string[] }
export interface Privacy { host: string; kept_days: number }
export interface PageSeen { url?: string; title?: string }
export interface Line { label: string; value: string }
export interface Option { id: string; label: string; departs: string; supplement: Money }

export interface VisitorView {
  id: string;
  state: State;
  top: number;
  frozen?: boolean;
  agent?: Face | null;
  check?: CheckCard | null;
  standing?: Standing | null;
  delivered?: number;
  read?: number;
  mine?: number;
}

export interface Entry {
  id: string;
  site: string;
  number: number;
  state: State;
  top: number;
  since: number;
  updated: number;
  name?: string;
  agent?: string;
  snippet?: string;
  snippet_from?: string;
  unread?: number;
  level?: number;
  frozen?: boolean;
  held?: number;
}

export interface StaffView {
  entry: Entry;
  lang?: string;
  page?: PageSeen;
  browser?: string;
  created?: number;
  check?: CheckCard | null;
  standing?: Standing | null;
  references?: string[];
  delivered?: number;
  read?: number;
  mine?: number;
}

// ── bodies of events ──
export interface MessageBody { text: string; removed?: string[]; held?: string }
export interface NoteBody { text: string; reason?: 'override' | 'unfreeze' }
export interface HeldBody { held: string; text: string; code: string; topic: string }
export interface DroppedBody { held: string }
export interface AssignedBody { agent: Face; agent_id?: string; by?: string }
export interface ClosedBody { by: 'visitor' | 'agent' }
export interface CheckBody { check: CheckCard }
export interface StandingBody { standing: Standing; why: 'code' | 'expired' | 'not_me' }
export interface AlarmBody { code: string }
export interface ActBody {
  act: 'change';
  state: 'asked' | 'done' | 'failed';
  title?: string;
  label?: string;
  due?: Money | null;
  code?: string;
  reference?: string;
  departs?: string;
  lang?: Lang | '';
}
export type EmptyBody = Record<string, never>;

interface Numbered {
  t: 'event';
  conversation: string;
  seq: number;
  id: string;
  at: number;
  sender: Sender;
  cid?: string;
  vseq?: number;
}
export type Event = Numbered &
  (
    | { kind: 'message'; body: MessageBody }
    | { kind: 'note'; body: NoteBody }
    | { kind: 'held'; body: HeldBody }
    | { kind: 'dropped'; body: DroppedBody }
    | { kind: 'assigned'; body: AssignedBody }
    | { kind: 'closed'; body: ClosedBody }
    | { kind: 'check'; body: CheckBody }
    | { kind: 'standing'; body: StandingBody }
    | { kind: 'alarm'; body: AlarmBody }
    | { kind: 'act'; body: ActBody }
    | { kind: 'reopened' | 'frozen' | 'unfrozen' | 'unreadable'; body: EmptyBody }
  );

// ── what the server says ──
export interface VisitorWelcome {
  t: 'welcome';
  v: number;
  epoch: string;
  now: number;
  site: SiteFace;
  privacy: Privacy;
  conversation?: VisitorView | null;
}
export interface AgentWelcome {
  t: 'welcome';
  v: number;
  epoch: string;
  now: number;
  me: Colleague;
  sites: SiteFace[];
  agents: Colleague[];
  inbox: Entry[];
}
export interface VisitorReset { t: 'reset'; conversation: string; epoch: string; view: VisitorView }
export interface StaffReset { t: 'reset'; conversation: string; epoch: string; view: StaffView; resumed?: boolean }
export interface Events { t: 'events'; conversation: string; items: Event[]; top: number; older?: boolean; more?: boolean }
export interface Ack { t: 'ack'; cid: string; conversation: string; seq: number; at: number; held?: string }
export interface Opened { t: 'opened'; cid: string; conversation: VisitorView }
export interface Failure { t: 'error'; code: string; sentence: string; cid?: string; conversation?: string; retry_after?: number }
export interface SomeoneTypes { t: 'typing'; conversation: string; who: 'visitor' | 'staff' }
export interface Marks { t: 'marks'; conversation: string; who: 'visitor' | 'staff'; delivered: number; read: number }
export interface Pos { t: 'pos'; now: number; positions?: Record<string, number> }
export interface NewToken { t: 'token'; token: string }
export interface DeskState { t: 'desk'; online: boolean }
export interface InboxEntry { t: 'inbox'; entry: Entry }
export interface InboxGone { t: 'gone'; conversation: string }
export interface Presence { t: 'presence'; agents: Colleague[] }
export interface RecordShown {
  t: 'record';
  cid: string;
  conversation: string;
  reference: string;
  title: string;
  state: string;
  lines: Line[];
  options: Option[];
  lang?: Lang;
}
export interface Drain { t: 'drain'; after: number }

export type ToVisitor =
  | VisitorWelcome | VisitorReset | Event | Events | Ack | Opened | Failure | SomeoneTypes | Marks | Pos | NewToken
  | DeskState | Drain;
export type ToAgent =
  | AgentWelcome | StaffReset | Event | Events | Ack | Failure | SomeoneTypes | Marks | Pos | InboxEntry | InboxGone
  | Presence | RecordShown | Drain;

// ── what a visitor says (a cid frame is answered by exactly one ack, opened or error) ──
export type FromVisitor =
  | { t: 'hello'; v: 1; site: string; token: string; lang?: Lang; conversation?: string; last_seq?: number; epoch?: string }
  | { t: 'open'; cid: string; text: string; name?: string; page?: string; title?: string }
  | { t: 'post'; cid: string; conversation: string; text: string }
  | { t: 'typing'; conversation: string }
  | { t: 'mark'; conversation: string; delivered?: number; read?: number }
  | { t: 'history'; conversation: string; before: number }
  | { t: 'resync'; conversation: string; last_seq: number }
  | { t: 'start_check'; cid: string; conversation: string; reference: string }
  | { t: 'code'; cid: string; conversation: string; check: string; code: string }
  | { t: 'resend'; cid: string; conversation: string; check: string }
  | { t: 'end'; cid: string; conversation: string }
  | { t: 'token_kept' }
  | { t: 'ping' };
