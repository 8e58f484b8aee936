// Which browser the pages are opened in.

export const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
