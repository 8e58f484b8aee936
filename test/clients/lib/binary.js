// Which server is tested.

import path from 'node:path';

const root = path.resolve(import.meta.dirname, '../../..');

/** The binary of Deskline. */
export const binary = path.resolve(process.env.DESKLINE_BIN ?? path.join(root, 'bin/deskline'));

export const isDeskline = (process.env.DESKLINE_TEST_SERVER ?? 'deskline') === 'deskline';
