// Tells the first process of the box what Pi is doing.
export default function (pi) {
  const shim = process.env.AGENTDECK_SHIM;
  if (!shim || !process.env.AGENTDECK_STATUS) return;

  const say = speaker(shim);
  pi.on("session_start", async () => say({ state: "idle" }));
  pi.on("agent_start", async () => say({ state: "begun", in_tool: true }));
  pi.on("agent_end", async (event) => {
    const answers = (event.messages ?? []).filter((message) => message.role === "assistant");
    const reason = answers.at(-1)?.stopReason;
    say({ state: { aborted: "idle", error: "failed" }[reason] ?? "done" });
  });
}
