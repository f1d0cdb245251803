/** What may not be read is a fact like others: it is kept with its reason, and judged around. */
import { isKubeError } from "../kube/index.ts";

/** Stands for what could not be read, and says why. Thrown by `see`. */
export class Unseen extends Error {}

export type Seen<T> = T | Unseen;

export function see<T>(value: Seen<T>): T {
  if (value instanceof Unseen) throw value;
  return value;
}

/** What `read` answers, or why it is forbidden. Throws what else goes wrong. */
export async function seen<T>(read: () => Promise<T>): Promise<Seen<T>> {
  try {
    return await read();
  } catch (error) {
    if (isKubeError(error, "forbidden")) return new Unseen(error.message);
    throw error;
  }
}
