/** What we use of preact-htm.js; see README.md for its origin. */
export interface VNode {
  type: unknown;
  props: Record<string, unknown>;
  key: unknown;
}
export type Child = VNode | string | number | boolean | null | undefined | Child[];
export type View<P = Record<string, never>> = (props: P) => Child;

export function h(type: string | View<any>, props?: Record<string, unknown> | null, ...children: Child[]): VNode;
export function render(node: Child, parent: Element | DocumentFragment): void;
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
export interface Ref<T> {
  current: T;
}
export function useState<S>(first: S | (() => S)): [S, (next: S | ((before: S) => S)) => void];
export function useReducer<S, A>(reducer: (state: S, action: A) => S, first: S): [S, (action: A) => void];
export function useEffect(effect: () => void | (() => void), inputs?: readonly unknown[]): void;
export function useLayoutEffect(effect: () => void | (() => void), inputs?: readonly unknown[]): void;
export function useRef<T>(first: T): Ref<T>;
export function useMemo<T>(make: () => T, inputs?: readonly unknown[]): T;
export function useCallback<T extends (...args: any[]) => any>(callback: T, inputs: readonly unknown[]): T;
export function useErrorBoundary(callback?: (error: unknown) => void): [unknown, () => void];
export const html: (strings: TemplateStringsArray, ...values: any[]) => VNode;
