/** Where connections go once the rules are in place: nothing but the kernel between, no proxy. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  createPod,
  dial,
  initialise,
  iptablesPrograms,
  listen,
  OUTSIDE_V4,
  OUTSIDE_V6,
  POD_V4,
  POD_V6,
  type Pod,
  ProgramFolder,
} from "../support/pod.ts";

const PROXY = 1337;
const LISTENERS = ["127.0.0.1/15001", "::1/15001", "::/15006", "::/15008", "::/15020", "::/15021", "::/8080"];

describe.each(["nft", "legacy"] as const)("19: with iptables-%s, and no other installed", (backend) => {
  const stack = new DisposableStack();
  let pod: Pod;

  beforeAll(async () => {
    const programs = stack.use(new ProgramFolder(iptablesPrograms(backend, ["ipv4", "ipv6"])));
    pod = stack.use(createPod());
    await initialise(pod.inside, [], { variables: programs.variables });
    await listen(pod.inside, ...LISTENERS, "127.0.1.1/9090", "udp/::/5300");
    await listen(pod.outside, "::/80", "::/8443", "udp/::/5300");
  });
  afterAll(() => stack.dispose());

  describe.each([
    { family: "IPv4", own: POD_V4, peer: OUTSIDE_V4, loopback: "127.0.0.1", written: (ip: string) => ip },
    { family: "IPv6", own: POD_V6, peer: OUTSIDE_V6, loopback: "::1", written: (ip: string) => `[${ip}]` },
  ])("$family", ({ own, peer, loopback, written }) => {
    test("2, 26: a connection to another pod's address arrives at 15001 and the kernel knows where it was going", async () => {
      expect(await dial(pod.inside, peer, 80)).toMatchObject({ port: 15001, original: `${written(peer)}:80` });
    });

    test("2: so does one to a port that nobody listens on, and one of another user than root", async () => {
      expect(await dial(pod.inside, peer, 7, { uid: 1000 })).toMatchObject({
        port: 15001,
        original: `${written(peer)}:7`,
      });
    });

    test("5: plaintext from outside arrives at 15006, also on a port that nobody declared", async () => {
      expect(await dial(pod.outside, own, 8080)).toMatchObject({ port: 15006, original: `${written(own)}:8080` });
      expect(await dial(pod.outside, own, 4321)).toMatchObject({ port: 15006, original: `${written(own)}:4321` });
    });

    test("5: the peer's real address is seen behind the redirect", async () => {
      const arrival = await dial(pod.outside, own, 8080);
      expect(arrival).toMatchObject({ peer: expect.stringMatching(new RegExp(`^(::ffff:)?${peer}$`)) });
    });

    test("6: 15008, 15020 and 15021 are reached as they are", async () => {
      for (const port of [15008, 15020, 15021]) {
        expect(await dial(pod.outside, own, port)).toMatchObject({ port, original: null });
      }
    });

    test("a connection that dials 15006 itself has no original destination", async () => {
      expect(await dial(pod.outside, own, 15006)).toMatchObject({ port: 15006, original: null });
    });

    test("5: 15001 is not to be reached from outside: it arrives at 15006", async () => {
      expect(await dial(pod.outside, own, 15001)).toMatchObject({ port: 15006, original: `${written(own)}:15001` });
    });

    test("7: the proxy's own connections leave the pod", async () => {
      expect(await dial(pod.inside, peer, 80, { uid: PROXY })).toMatchObject({ port: 80, original: null });
    });

    test("7: the proxy reaches the application and its own 15008 by the pod's address", async () => {
      expect(await dial(pod.inside, own, 8080, { uid: PROXY })).toMatchObject({ port: 8080 });
      expect(await dial(pod.inside, own, 15008, { uid: PROXY })).toMatchObject({ port: 15008 });
    });

    test("8: localhost is direct", async () => {
      expect(await dial(pod.inside, loopback, 8080)).toMatchObject({ port: 8080, original: null });
    });

    test("9: the pod's own address is direct", async () => {
      expect(await dial(pod.inside, own, 8080)).toMatchObject({ port: 8080, original: null });
    });

    test("a connection that dials 15001 itself has no original destination", async () => {
      expect(await dial(pod.inside, loopback, 15001)).toMatchObject({ port: 15001, original: null });
    });

    test("31: UDP is untouched in both directions", async () => {
      expect(await dial(pod.inside, peer, 5300, { transport: "udp" })).toMatchObject({ port: 5300 });
      expect(await dial(pod.outside, own, 5300, { transport: "udp" })).toMatchObject({ port: 5300 });
    });
  });

  test("29: an IPv4 connection on a listener of :: has its IPv4 original destination", async () => {
    const arrival = await dial(pod.outside, POD_V4, 81);
    expect(arrival).toEqual({ port: 15006, original: `${POD_V4}:81`, peer: `::ffff:${OUTSIDE_V4}` });
  });

  test("8: 127.0.1.1 is direct, too", async () => {
    expect(await dial(pod.inside, "127.0.1.1", 9090)).toMatchObject({ port: 9090, original: null });
  });
});

test("25: a pod with IPv6 only is captured and tested in IPv6", async () => {
  using pod = createPod(["ipv6"]);
  const output = await initialise(pod.inside);
  expect(output).toContain("IPv4: rules written; not tested, the pod has no address yet");
  expect(output).toContain("IPv6: rules written; a test connection to [2001:db8::1]:1 was captured");
  await listen(pod.inside, ...LISTENERS);
  expect(await dial(pod.inside, OUTSIDE_V6, 80)).toMatchObject({ port: 15001, original: `[${OUTSIDE_V6}]:80` });
  expect(await dial(pod.outside, POD_V6, 8080)).toMatchObject({ port: 15006, original: `[${POD_V6}]:8080` });
});

describe("what is skipped", () => {
  const many = Array.from({ length: 20 }, (_, index) => 3000 + index * 10);
  const stack = new DisposableStack();
  let pod: Pod;

  beforeAll(async () => {
    pod = stack.use(createPod());
    await initialise(pod.inside, [
      ...["--skip-inbound-ports", `8080,9000-9002,${many.join(",")}`],
      ...["--skip-outbound-ports", `8443,7000-7002,${many.join(",")}`],
    ]);
    await listen(pod.inside, ...LISTENERS, "::/9001", "::/3190");
    await listen(pod.outside, "::/80", "::/8443", "::/7001", "::/3190");
  });
  afterAll(() => stack.dispose());

  test.each([
    [POD_V4, OUTSIDE_V4],
    [POD_V6, OUTSIDE_V6],
  ])("12: inbound: a port, a range and the last of more than 15 entries reach the application (%s)", async (own) => {
    for (const port of [8080, 9001, 3190]) {
      expect(await dial(pod.outside, own, port)).toMatchObject({ port, original: null });
    }
    expect(await dial(pod.outside, own, 9003)).toMatchObject({ port: 15006 });
    expect(await dial(pod.outside, own, 3191)).toMatchObject({ port: 15006 });
  });

  test.each([OUTSIDE_V4, OUTSIDE_V6])(
    "12: outbound: a port, a range and the last of more than 15 entries leave directly (%s)",
    async (peer) => {
      for (const port of [8443, 7001, 3190]) {
        expect(await dial(pod.inside, peer, port)).toMatchObject({ port, original: null });
      }
      expect(await dial(pod.inside, peer, 7003)).toMatchObject({ port: 15001 });
      expect(await dial(pod.inside, peer, 80)).toMatchObject({ port: 15001 });
    },
  );

  test("13: sources and destinations of the skipped ranges pass, others do not", async () => {
    using other = createPod();
    await initialise(other.inside, [
      ...["--skip-inbound-cidrs", `${OUTSIDE_V4},fd77::/64`],
      ...["--skip-outbound-cidrs", "10.77.0.0/24,fd77::1"],
    ]);
    await listen(other.inside, ...LISTENERS);
    await listen(other.outside, "::/80");
    for (const own of [POD_V4, POD_V6]) {
      expect(await dial(other.outside, own, 8080)).toMatchObject({ port: 8080, original: null });
    }
    for (const peer of [OUTSIDE_V4, OUTSIDE_V6]) {
      expect(await dial(other.inside, peer, 80)).toMatchObject({ port: 80, original: null });
    }
    expect(await dial(other.inside, "192.0.2.2", 80)).toMatchObject({ port: 15001, original: "192.0.2.2:80" });
    expect(await dial(other.inside, "2001:db8::1", 80)).toMatchObject({ port: 15001, original: "[2001:db8::1]:80" });
  });
});
