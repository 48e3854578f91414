/** The page's nonce: its policy lets only styles with it in. */

/** The nonce, as the server wrote it into the page. */
export function nonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? '';
}

/**
 * Gives the nonce to every style element from the start: antd hands its own on, but what measures scrollbars inside it
 * (rc-util, issue 613) makes style elements without.
 */
export function nonceStyles(): void {
  const make = document.createElement.bind(document);
  const value = nonce();
  document.createElement = ((name: string, options?: ElementCreationOptions) => {
    const made = make(name, options);
    if (name.toLowerCase() === 'style') made.nonce = value;
    return made;
  }) as typeof document.createElement;
}
