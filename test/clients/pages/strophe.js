import * as lib from 'strophe.js';
import { strophePlayer } from '../lib/strophe.js';
import { install } from './install.js';

install(strophePlayer(lib));
