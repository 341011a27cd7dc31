/** What we use of htm.js; see README.md for its origin. */
export default function htm<Result>(
  this: (type: any, props?: any, ...children: any[]) => Result,
  strings: TemplateStringsArray,
  ...values: any[]
): Result;
