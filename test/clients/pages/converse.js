import { converse } from '/dist/converse-headless.min.js';
import { conversePlayer } from '../lib/converse.js';
import { install } from './install.js';

install(conversePlayer(converse));
