/** What we use of preact.js; see README.md for its origin. */
export interface VNode {
  type: unknown;
  props: Record<string, unknown>;
  key: unknown;
}
export type Child = VNode | string | number | boolean | null | undefined | Child[];
export type View<P = Record<string, never>> = (props: P) => Child;

export function h(type: string | View<any>, props?: Record<string, unknown> | null, ...children: Child[]): VNode;
export function render(node: Child, parent: Element | DocumentFragment): void;
export const Fragment: View<{ children?: Child }>;
export class Component<P = {}, S = {}> {
  constructor(props?: P);
  props: P;
  state: S;
  setState(state: Partial<S> | ((before: S) => Partial<S>), done?: () => void): void;
  forceUpdate(): void;
  componentDidMount?(): void;
  componentDidUpdate?(before: P): void;
  componentWillUnmount?(): void;
  componentDidCatch?(error: unknown): void;
  render(props: P, state: S): Child;
}
