// Marks the lines of a log that look like errors or warnings: what builder/failures.py takes for an error, roughly.

import { plain } from './sgr.js';

const HINT = /err|warn|fail|fatal|panic|not found|cannot|✘|⨯|✖|✗/i;
const WARNING = /^\W*(?:npm |\(node:\d+\) )?\[?warn(?:ing)?\b|\w*Warning: /i;
const ERROR = new RegExp(
  [
    '^\\W*(?:error|fatal|panic|failure|uncaught|failed|err!?|exception)(?:[:\\]! ]|$)',
    '(?:error|exception)(?:: | \\[)|\\berror (?:TS|NG)\\d|\\): error\\b|\\berror {2}',
    '^npm (?:ERR!|error) \\S',
    'cannot find (?:module|package)|module not found|could not resolve|failed to (?:resolve|load|compile|parse)',
    'command not found|: not found$|[✘⨯✖✗] |ERR_PNPM_',
  ].join('|'),
  'i',
);
const NONE = /\b(?:0|no) errors?\b/i;

/** 'error', 'warning' or undefined. */
export function markOf(line) {
  if (line.stream === 'system' || !HINT.test(line.log)) return undefined;
  const text = plain(line.log).slice(0, 400);
  if (WARNING.test(text)) return 'warning';
  return ERROR.test(text) && !NONE.test(text) ? 'error' : undefined;
}
