import * as lib from 'stanza';
import { stanzaPlayer } from '../lib/stanza.js';
import { install } from './install.js';

install(stanzaPlayer(lib));
