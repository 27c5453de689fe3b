/** What of the vendored file is used, for the check of types (tests/node/dashboard.tsconfig.json). Not served. */
declare const htm: { bind(create: (this: number[], type: unknown, props: unknown, ...children: unknown[]) => any): (texts: TemplateStringsArray, ...values: unknown[]) => any };
export default htm;
