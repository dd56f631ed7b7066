// State of any size: a value of its own for each of KEYS keys, of up to 2 * BYTES bytes that do not compress, written
// anew in each of ROUNDS rounds, in another order each time. What the last round finds is put out for every
// thousandth key: its number, and how often it was written.
//
//   weir run large_state.so --output DIRECTORY [--keys N] [--bytes N] [--rounds N]
#include <cstdint>
#include <string>

#include <weir/weir.hpp>

namespace {

using namespace weir;

struct Write {
  std::uint64_t key = 0;
  std::uint64_t round = 0;
};
WEIR_FIELDS(Write, key, round)

struct Held {
  std::uint64_t writes = 0;
  std::string bytes;
};
WEIR_FIELDS(Held, writes, bytes)

/// Source: SplitMix64, Steele, Lea, Flood, 2014.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

WEIR_JOB(large_state) {
  auto& parameters = env.parameters();
  const auto keys = static_cast<std::uint64_t>(parameters.number("keys", 1000));
  const auto bytes = static_cast<std::uint64_t>(parameters.number("bytes", 1000));
  const auto rounds = static_cast<std::uint64_t>(parameters.number("rounds", 2));
  const auto output = parameters.get("output", "");
  // A step that has no divisor in common with `keys` visits all of them.
  env.generate(keys * rounds,
               [keys](std::uint64_t i) {
                 const std::uint64_t round = i / keys;
                 return Write{(i % keys * 2'147'483'647 + mix(round)) % keys, round};
               })
      .uid("writes")
      .key_by([](const Write& write) { return write.key; })
      .flat_map_with_state<Held, std::string>(
          [bytes, rounds](const Write& write, Held& held, Collector<std::string>& out) {
            ++held.writes;
            std::uint64_t word = mix(write.key * rounds + write.round);
            held.bytes.resize(word % (2 * bytes + 1));
            for (char& c : held.bytes)
              c = static_cast<char>(word = word * 6364136223846793005ULL + 1);
            if (write.round + 1 == rounds && write.key % 1000 == 0)
              out.collect(std::to_string(write.key) + " " + std::to_string(held.writes));
          })
      .uid("held")
      .write_files(output, [](const std::string& line) { return line; })
      .uid("output");
}
