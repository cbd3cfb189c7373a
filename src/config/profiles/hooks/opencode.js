// Tells the first process of the box what opencode is doing.
export const Agentdeck = async () => {
  const shim = process.env.AGENTDECK_SHIM;
  if (!shim || !process.env.AGENTDECK_STATUS) return {};

  const say = speaker(shim);
  const helpers = new Set();
  let busy = false;
  let interrupted = false;
  say({ state: "idle" });
  return {
    event: async ({ event }) => {
      const of = event.properties ?? {};
      switch (event.type) {
        case "session.created":
          if (of.info?.parentID) helpers.add(of.info.id);
          break;
        case "session.status":
          if (helpers.has(of.sessionID)) break;
          if (of.status?.type !== "idle") {
            busy = true;
            say({ state: "working", in_tool: true });
          } else if (busy) {
            // The end of an interrupted turn is told twice.
            say({ state: interrupted ? "idle" : "done" });
            busy = interrupted = false;
          }
          break;
        case "permission.asked": {
          const says = `${of.permission}: ${of.metadata?.command ?? of.patterns?.[0] ?? ""}`;
          say({ state: "waiting", need: "permission", part: of.id, says });
          break;
        }
        case "permission.replied":
          say({ state: "answered", part: of.requestID });
          interrupted ||= of.reply === "reject";
          break;
        case "session.error":
          interrupted ||= of.error?.name === "MessageAbortedError";
          break;
      }
    },
  };
};
