// Tells the first process of the box what Pi is doing.
import { spawn } from "node:child_process";

export default function (pi) {
  const shim = process.env.AGENTDECK_SHIM;
  if (!shim || !process.env.AGENTDECK_STATUS) return;

  // One after the other, so that what was said last is heard last.
  let waiting = Promise.resolve();
  const say = (message) => {
    const text = JSON.stringify({ conversation: String(process.pid), ...message });
    waiting = waiting.then(() => new Promise((done) => {
      const program = spawn(shim, ["shim-say"], { stdio: ["pipe", "ignore", "ignore"] });
      program.on("error", done);
      program.on("close", done);
      program.stdin.on("error", () => {});
      program.stdin.end(text);
    }));
  };

  pi.on("session_start", async () => say({ state: "idle" }));
  pi.on("agent_start", async () => say({ state: "begun", in_tool: true }));
  pi.on("agent_end", async (event) => {
    const answers = (event.messages ?? []).filter((message) => message.role === "assistant");
    const reason = answers.at(-1)?.stopReason;
    say({ state: { aborted: "idle", error: "failed" }[reason] ?? "done" });
  });
}
