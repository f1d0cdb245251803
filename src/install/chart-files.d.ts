/** The chart's helper templates, imported as text. */
declare module "*.tpl" {
  const text: string;
  export = text;
}
