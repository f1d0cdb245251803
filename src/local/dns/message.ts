/** One DNS message in, one out: codec, response codes, size limits. A message that is no question is not answered. */
import * as dnsPacket from "dns-packet";
import { type Answer, answer, type NameView } from "./answer.ts";

/** Seconds that an answer may be kept: short, because pods come and go. */
const TTL = 5;
/** Largest UDP answer without EDNS (RFC 1035 §4.2.1), and the largest we send with it. */
const PLAIN_UDP = 512;
const LARGEST_UDP = 1232;

/** The flag bits of the opcode; 0 is QUERY. */
const OPCODE = 0x7800;

/** The codec reads other names as UTF-8 and may give back other octets than were asked for: better no question than another. */
const ASCII = /^[\0-\x7f]*$/;

const NO_ERROR = 0;
const SERVER_FAILURE = 2;
const NAME_ERROR = 3;
const NOT_IMPLEMENTED = 4;

export type Reply =
  /** Send these bytes. */
  | { readonly kind: "reply"; readonly bytes: Uint8Array }
  /** Not ours: ask a resolver of the machine, and send `failure` when there is none. */
  | { readonly kind: "forward"; readonly failure: Uint8Array }
  /** No question: say nothing. */
  | { readonly kind: "ignore" };

export function reply(request: Uint8Array, view: NameView, transport: "udp" | "tcp"): Reply {
  let packet: dnsPacket.DecodedPacket;
  try {
    packet = dnsPacket.decode(Buffer.from(request));
  } catch {
    return { kind: "ignore" };
  }
  if (packet.type !== "query") return { kind: "ignore" };
  const question = packet.questions?.[0];
  if (((packet.flags ?? 0) & OPCODE) !== 0 || question === undefined || packet.questions?.length !== 1) {
    return { kind: "reply", bytes: encode(packet, NOT_IMPLEMENTED, [], false) };
  }
  const found = answer({ name: question.name, type: question.type }, view);
  if (found.kind === "forward") return { kind: "forward", failure: encode(packet, SERVER_FAILURE, [], false) };
  const bytes = encode(packet, found.kind === "nxdomain" ? NAME_ERROR : NO_ERROR, records(found), true);
  if (transport === "tcp" || bytes.length <= udpLimit(packet)) return { kind: "reply", bytes };
  return { kind: "reply", bytes: encode(packet, NO_ERROR, [], true, dnsPacket.TRUNCATED_RESPONSE) };
}

function records(found: Answer): dnsPacket.Answer[] {
  return found.kind === "records"
    ? found.records.map((record) => ({ ...record, ttl: TTL, class: "IN" }) as dnsPacket.Answer)
    : [];
}

function encode(
  request: dnsPacket.DecodedPacket,
  code: number,
  answers: dnsPacket.Answer[],
  authoritative: boolean,
  flags = 0,
): Uint8Array {
  const edns = request.additionals?.some((record) => record.type === "OPT") === true;
  return dnsPacket.encode({
    type: "response",
    ...(request.id === undefined ? {} : { id: request.id }),
    flags:
      (authoritative ? dnsPacket.AUTHORITATIVE_ANSWER : 0) |
      ((request.flags ?? 0) & dnsPacket.RECURSION_DESIRED) |
      dnsPacket.RECURSION_AVAILABLE |
      flags |
      code,
    questions: (request.questions ?? []).filter(({ name }) => ASCII.test(name)),
    answers,
    ...(edns
      ? {
          additionals: [
            {
              type: "OPT",
              name: ".",
              udpPayloadSize: LARGEST_UDP,
              extendedRcode: 0,
              ednsVersion: 0,
              flags: 0,
              flag_do: false,
              options: [],
            },
          ],
        }
      : {}),
  });
}

function udpLimit(request: dnsPacket.DecodedPacket): number {
  const option = request.additionals?.find((record) => record.type === "OPT");
  const offered = option !== undefined && "udpPayloadSize" in option ? option.udpPayloadSize : PLAIN_UDP;
  return Math.min(LARGEST_UDP, Math.max(PLAIN_UDP, offered));
}
