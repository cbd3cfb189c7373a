"""What the bars share: a deck with a home and a repository of its own, and what processes cost."""

import json
import os
import pathlib
import pwd
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PATIENCE = 60
TICKS = os.sysconf("SC_CLK_TCK")
# A static busybox under the names that the scripts use.
APPLETS = ("sh", "sleep", "cat", "stty", "head", "yes", "echo", "test", "ls", "wc", "mkdir")


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr.decode(errors='replace')}")
    return done


def binary(arguments):
    """The release build that is named first, or the one in target/."""
    if arguments:
        return os.path.abspath(arguments[0])
    found = sorted(pathlib.Path("target").glob("*/release/agentdeck"))
    if not found:
        sys.exit("build first: cargo build --release")
    return os.path.abspath(found[0])


def verdict(ours, peer, goal):
    return f"{ours / peer:.3f} of it, goal {goal:.3f}: {'met' if ours <= peer * goal else 'MISSED'}"


def load():
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def median(values):
    return statistics.median(values)


class Image:
    """An image with a busybox and nothing else, removed at the end."""

    def __init__(self):
        self.name = f"agentdeck-bars:{os.getpid()}"
        with tempfile.TemporaryDirectory() as directory:
            root = pathlib.Path(directory)
            (root / "bin").mkdir()
            shutil.copy(shutil.which("busybox"), root / "bin/busybox")
            for applet in APPLETS:
                (root / "bin" / applet).symlink_to("busybox")
            archive = run("tar", "-C", directory, "-c", ".").stdout
        run("docker", "import", "-", self.name, input=archive)

    def remove(self):
        subprocess.run(["docker", "rmi", "-f", self.name], capture_output=True)


class Deck:
    """A server of its own. `user`: whose it is, when not the caller's."""

    def __init__(self, program, user=None):
        self.program, self.user = program, user
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="agentdeck-bars-"))
        self.home = self.directory / "home"
        self.repository = self.directory / "repository"
        self.count = 0
        if user:
            account = pwd.getpwnam(user)
            os.chmod(self.directory, 0o755)
            os.chown(self.directory, account.pw_uid, account.pw_gid)
            # Its own copy, which it may read wherever the build lies.
            self.program = shutil.copy(program, self.directory / "agentdeck")
            os.chmod(self.program, 0o755)
        try:
            self.make_repository()
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise

    def as_user(self, *command):
        if not self.user:
            return command
        account = pwd.getpwnam(self.user)
        ids = [f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        return ("setpriv", *ids, "--", *command)

    def environment(self):
        names = ("PATH", "LANG", "DOCKER_HOST", "GLIBC_TUNABLES")
        kept = {name: os.environ[name] for name in names if name in os.environ}
        return {**kept, "HOME": str(self.directory), "AGENTDECK_HOME": str(self.home)}

    def make_repository(self):
        script = (
            f"mkdir {self.repository} && cd {self.repository} && "
            "for i in $(seq 100); do yes $i | head -n 50 >file-$i; done && git init -q && "
            "git config user.name Ada && git config user.email ada@example.org && "
            "git add . && git commit -q -m files"
        )
        run(*self.as_user("sh", "-ec", script), env=self.environment())

    def ask(self, *arguments):
        return run(*self.as_user(str(self.program), *arguments), cwd=self.repository, env=self.environment()).stdout

    def start(self, *arguments, **options):
        command = self.as_user(str(self.program), *arguments)
        return subprocess.Popen(command, cwd=self.repository, env=self.environment(), **options)

    def new(self, *options, command, wait=True):
        """Makes an environment that runs `command`; its name."""
        self.count += 1
        name = f"bar{self.count}"
        detach = [] if wait else ["--detach"]
        self.ask("new", *detach, *options, name, "--", *command)
        return name

    def inspect(self, name):
        return json.loads(self.ask("inspect", name, "--json"))

    def server(self):
        return json.loads(self.ask("server", "status", "--json"))["pid"]

    def shim_socket(self, name):
        return pathlib.Path(self.inspect(name)["state_directory"]) / "run/shim.sock"

    def tell(self, *arguments):
        """Asks for something at the end, where one failure must not keep the rest."""
        command = self.as_user(str(self.program), *arguments)
        done = subprocess.run(command, cwd=self.repository, env=self.environment(), capture_output=True)
        if done.returncode != 0:
            print(f"{' '.join(arguments)}: {done.stderr.decode(errors='replace')}", file=sys.stderr)
        return done.stdout

    def end(self):
        """Drops every environment for good, with its box and its image, and then the home."""
        ids = {place.name for kind in ("environments", "trash") for place in self.home.glob(f"{kind}/*")}
        if ids:
            for environment in json.loads(self.tell("ls", "--json") or "[]"):
                self.tell("discard", "--yes", environment["name"])
            self.tell("trash", "empty", "--yes")
        if self.home.exists():
            self.tell("server", "stop")
        # What could not be dropped is known by its labels.
        for place in ids:
            for container in listed("ps", "-aq", "--filter", f"label=agentdeck.environment={place}"):
                subprocess.run(["docker", "rm", "-fv", container], capture_output=True)
            for image in listed("images", "-q", "--filter", f"label=agentdeck.image.environment={place}"):
                subprocess.run(["docker", "rmi", image], capture_output=True)
        shutil.rmtree(self.directory, ignore_errors=True)


def listed(*words):
    """The ids that the docker command lists; none where there is no such command."""
    if not shutil.which("docker"):
        return []
    return subprocess.run(["docker", *words], capture_output=True, text=True).stdout.split()


def cpu(pid):
    """Seconds of processor a process and its ended children have used."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0.0
    return sum(int(fields[at]) for at in (11, 12, 13, 14)) / TICKS


def own_cpu(pid):
    """The same without its children."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(pid):
    """Proportional and resident size in bytes."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines[1:]}
    return sizes["Pss"], sizes["Rss"]


def processes(name):
    """Ids of the processes whose program has this name."""
    found = []
    for place in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if (place / "comm").read_text().strip() == name[:15]:
                found.append(int(place.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def until(what, wanted):
    begin = time.monotonic()
    while not (answer := wanted()):
        if time.monotonic() - begin > PATIENCE:
            sys.exit(f"waited in vain for {what}")
        time.sleep(0.0005)
    return answer
