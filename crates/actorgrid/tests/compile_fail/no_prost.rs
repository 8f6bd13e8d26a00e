#[derive(actorgrid::Message)]
struct Job {
    text: String,
}

fn main() {}
