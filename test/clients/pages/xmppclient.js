import { xmppClientPlayer } from '../lib/xmppclient.js';
import { install } from './install.js';

install(xmppClientPlayer(globalThis.XMPP)); // its own browser build, see lib/pages.js
