import { spawn } from "node:child_process";

// Speaks to the first process of the box, one after the other, so that what was said last is heard
// last; what was just said is not said again.
const speaker = (shim) => {
  let waiting = Promise.resolve();
  let last = "";
  return (message) => {
    const text = JSON.stringify({ conversation: String(process.pid), ...message });
    if (text === last) return;
    last = text;
    waiting = waiting.then(() => new Promise((done) => {
      const program = spawn(shim, ["shim-say"], { stdio: ["pipe", "ignore", "ignore"] });
      program.on("error", done);
      program.on("close", done);
      program.stdin.on("error", () => {});
      program.stdin.end(text);
    }));
  };
};

