import type { ThemeConfig } from 'antd';
import { theme } from 'antd';

/** antd's compact sizes, with letters of 13 px on lines of 20: its own 12 px are small for Chinese, and smaller than the labels beside them. */
const dense: typeof theme.compactAlgorithm = (seed, map) => ({ ...theme.compactAlgorithm(seed, map), fontSize: 13, lineHeight: 20 / 13 });

/**
 * Dense and calm; every text at least 4.5 : 1 on what it stands on (axe checks it in the browser tests). Nothing moves
 * where the user wants that, or where a test looks.
 */
export const consoleTheme: ThemeConfig = {
  algorithm: dense,
  // With hashes every selector is a `:where(…)`, which Chromium 87 does not know.
  hashed: false,
  token: {
    colorPrimary: '#0b4f94',
    colorLink: '#0b4f94',
    colorLinkHover: '#08386a',
    colorSuccess: '#1f6f2b',
    colorWarning: '#8a5300',
    colorError: '#b3261e',
    colorInfo: '#0b4f94',
    colorText: '#1b1f24',
    colorTextSecondary: '#454c54',
    colorTextTertiary: '#565d66',
    colorTextQuaternary: '#5f6670',
    colorTextPlaceholder: '#5f6670',
    colorTextDescription: '#4d545c',
    colorTextDisabled: '#5f6670',
    colorBgLayout: '#f3f5f7',
    colorBorder: '#b9c0c8',
    colorBorderSecondary: '#dfe3e8',
    fontSizeSM: 13,
    borderRadius: 4,
    fontFamily: '"Microsoft YaHei", "PingFang SC", "Noto Sans CJK SC", "Source Han Sans SC", system-ui, sans-serif',
    motion: !navigator.webdriver && !window.matchMedia('(prefers-reduced-motion: reduce)').matches,
  },
  components: {
    // What is chosen stands in a box of its own: letters of 13 px need 16 of its lines.
    Select: { multipleItemHeightSM: 18 },
    Table: { cellPaddingBlockSM: 3, cellPaddingInlineSM: 8, headerColor: '#333a42', rowSelectedBg: '#f2f7fd', rowSelectedHoverBg: '#e3eefb' },
    Menu: { itemHeight: 30, itemSelectedBg: '#e3eefb', itemSelectedColor: '#08386a' },
  },
};
