struct Worker;

fn start(_actor: impl actorgrid::Actor) {}

fn main() {
    start(Worker);
}
