import assert from "node:assert/strict";
import { contradict, HeadWitness } from "@feldfon/protocol/directory/chain";
import { join, makeKeys, ServerEnd } from "./two-ends.ts";

describe("Directory: the witness of heads", () => {
  before(makeKeys);

  it("says nothing against an honest server, in whatever order its heads are heard", async () => {
    const server = await ServerEnd.start();
    for (const n of [1, 2, 3, 4]) await server.change(join(n));
    const again = await server.signAgain();
    for (const heads of [server.heads, server.heads.toReversed(), [...server.heads, again, ...server.heads]]) {
      const witness = new HeadWitness();
      for (const head of heads) {
        assert.equal(witness.contradicting(head), undefined);
        witness.remember(head);
      }
    }
    assert.ok(!contradict(server.head, again));
  });

  it("keeps as many heads as it may, and forgets the lowest epochs first", async () => {
    const server = await ServerEnd.start();
    const liar = server.fork();
    for (const n of [1, 2, 3, 4, 5]) await server.change(join(n));
    for (const n of [5, 4, 3, 2, 1]) await liar.change(join(n));
    const witness = new HeadWitness(2);
    for (const head of server.heads) witness.remember(head);
    for (const head of server.heads.slice(0, 2)) witness.remember(head); // old ones, heard again
    assert.equal(witness.contradicting(liar.heads[5]!), server.heads[5]);
    assert.equal(witness.contradicting(liar.heads[4]!), server.heads[4]);
    assert.equal(witness.contradicting(liar.heads[3]!), server.heads[4]); // its prev is another
    assert.equal(witness.contradicting(liar.heads[2]!), undefined);
  });
});
