"""A life at random: members of several clients join, close, are killed or stopped, for a moment or past their session, and the
broker is killed or stopped, with no regard for whether the group has settled. A round prints its seed, `--seed` does it again."""

import random
import time

STEPS = 16
MOST = 6
# Messages that are sent between two steps: from almost none to a few rebalances' worth.
BETWEEN = (5, 30, 100, 400)


def churn(clients):
    def run(group):
        print(f"       seed {group.seed}", flush=True)
        choose = random.Random(group.seed)
        names = (f"m{number}" for number in range(1000))
        group.join(next(names), client=choose.choice(clients))
        for _ in range(STEPS):
            step(group, choose, clients, names)
            group.flow.await_sent(group.flow.sent + choose.choice(BETWEEN))
        group.go_on(*group.stopped())
        group.join(next(names), client=choose.choice(clients))
        group.settles(f"all is quiet after {STEPS} steps")
        group.drain()

    return run


def step(group, choose, clients, names):
    running = group.running()
    can = ["broker killed", "broker stopped", "join", "join", "join"] if len(group.members) < MOST else ["broker killed"]
    if len(running) > 1:
        can += ["close", "kill", "stop", "pause"]
    if group.stopped():
        can += ["go on"] * 2
    match choose.choice(can):
        case "join":
            group.join(next(names), client=choose.choice(clients))
        case "close":
            group.close(choose.choice(running))
        case "kill":
            group.kill(choose.choice(running))
        case "stop":
            group.stop(choose.choice(running))
        case "pause":
            name = choose.choice(running)
            group.stop(name)
            time.sleep(choose.uniform(0.1, 2))
            group.go_on(name)
        case "go on":
            group.go_on(choose.choice(group.stopped()))
        case "broker killed":
            group.restart_broker(group.broker.kill)
        case "broker stopped":
            group.restart_broker(group.broker.stop)
