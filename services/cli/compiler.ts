/**
 * When V8 compiles what, for every program and thread of this process. A server is asked different
 * things by the thousand rather than one thing by the million: its functions are compiled quickly
 * early (Maglev after 100 calls, not 400), and the slow compiler, which costs as much as the calls
 * themselves in the first minutes, only takes up what is really hot (10,000 calls, not 3,000).
 * `npm run bench -- api` shows the difference in its first rounds.
 */
import { setFlagsFromString } from "node:v8";

setFlagsFromString("--invocation-count-for-maglev=100");
setFlagsFromString("--invocation-count-for-turbofan=10000");
