/** Whom a command asks that knows both: a play on this machine, or a cluster. */
import { LocalError, liveRunner, PlayClient, statePaths } from "../local/index.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The running play of this user, unless the cluster was named (`named`); undefined: ask the cluster. Throws LocalError
 * `starting` for a play that is not there yet.
 */
export async function playToAsk(named: boolean, env: Environment): Promise<PlayClient | undefined> {
  return named || !playRuns(env) ? undefined : PlayClient.find(env);
}

function playRuns(env: Environment): boolean {
  try {
    return liveRunner(statePaths(env)) !== undefined;
  } catch (error) {
    // Another user's play: not ours to ask.
    if (error instanceof LocalError && error.code === "state-directory") return false;
    throw error;
  }
}
