// One job in many shapes: what a user changes between a savepoint and the next run, and what goes wrong in
// user code. Numbers are generated, counted per key (number modulo 10) and printed or written to files.
//
//   weir run shapes.so [--shape NAME] [--numbers N] [--rate PER_SECOND] [--output DIRECTORY] [--at N] [--once FILE]
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <weir/weir.hpp>

namespace {

using namespace weir;

struct Number {
  std::uint64_t value = 0;
};
WEIR_FIELDS(Number, value)

struct Count {
  std::uint64_t count = 0;
};
WEIR_FIELDS(Count, count)

/// What `Count` may become.
struct NotedCount {
  std::string note = "noted";
  std::uint64_t count = 0;
};
WEIR_FIELDS(NotedCount, note, count)

/// What it must not.
struct OtherCount {
  std::string count;
};
WEIR_FIELDS(OtherCount, count)

struct Ballast {
  std::string bytes;
};
WEIR_FIELDS(Ballast, bytes)

/// Uses up the stack; no compiler knows that `depth` is never 0.
std::uint64_t recurse(std::uint64_t depth) {
  volatile char frame[4096] = {};
  frame[depth % sizeof frame] = 1;
  return depth == 0 ? 0 : recurse(depth + 1) + static_cast<std::uint64_t>(frame[0]);
}

/// Not for a sanitizer to find: the process is to die of the signal. The compiler must not know the address, or it
/// takes the call for one that never comes.
[[gnu::no_sanitize("undefined"), gnu::no_sanitize("thread")]] void crash() {
  volatile std::uintptr_t address = 0;
  *reinterpret_cast<volatile int*>(address) = 1;
}

/// At number `at`, or, if `once` is a path, at the first number after that file is there.
Number misbehave(const Number& number, const std::string& how, std::uint64_t at,
                 const std::string& once) {
  if (once.empty() ? number.value != at : !std::filesystem::exists(once)) return number;
  if (how == "throw") throw std::runtime_error("number " + std::to_string(at) + " is unlucky");
  if (how == "throw-int") throw 42;
  if (how == "crash") crash();
  if (how == "overflow") recurse(1 + at);
  if (how == "abort") std::abort();
  return number;
}

template <class State>
DataStream<std::string> count(const DataStream<Number>& numbers) {
  return numbers
      .key_by([](const Number& number) { return static_cast<std::uint32_t>(number.value % 10); })
      .template map_with_state<State>([](const Number& number, State& state) {
        if constexpr (requires { ++state.count; })
          ++state.count;
        else
          state.count += "x";
        std::string line = std::to_string(number.value);
        if constexpr (requires { state.note; })
          line += " " + state.note + " " + std::to_string(state.count);
        return line;
      });
}

/// Counts in a state of another name.
struct OtherState final : KeyedProcessFunction<std::uint32_t, Number, std::string> {
  void open(RuntimeContext& context) override {
    seen_ = context.state(ValueStateDescriptor<std::uint64_t>{"seen"});
  }
  void process_element(const Number& number, Context&, Collector<std::string>& out) override {
    seen_.update(number.value);
    out.collect(std::to_string(number.value));
  }
  ValueState<std::uint64_t> seen_;
};

}  // namespace

WEIR_JOB(shapes) {
  auto& parameters = env.parameters();
  const auto shape = parameters.get("shape", "plain");
  const auto count_of_numbers = parameters.number("numbers", 1'000'000'000);
  const auto rate = static_cast<double>(parameters.number("rate", 1000));
  const auto output = parameters.get("output", "");
  const auto at = parameters.number("at", 100);
  const auto once = parameters.get("once", "");

  if (shape == "throws-early") throw std::runtime_error("no plan today");

  auto numbers = env.generate(count_of_numbers, [](std::uint64_t i) { return Number{i}; }, rate);
  numbers.uid("numbers");
  numbers = numbers.map(
      [shape, at, once](const Number& number) { return misbehave(number, shape, at, once); });
  numbers.uid("passing").name("pass on");

  auto lines = shape == "other-type"   ? count<OtherCount>(numbers)
               : shape == "noted-type" ? count<NotedCount>(numbers)
               : shape == "other-state"
                   ? numbers
                         .key_by([](const Number& number) {
                           return static_cast<std::uint32_t>(number.value % 10);
                         })
                         .process(OtherState{})
                   : count<Count>(numbers);
  if (shape != "no-uid") lines.uid(shape == "renamed" ? "counts-2" : "counts");
  if (shape == "max-64") lines.set_max_parallelism(64);
  if (shape == "max-2") lines.set_max_parallelism(2);
  if (shape == "more") {
    lines = lines.key_by([](const std::string& line) { return line.size(); })
                .map_with_state<Count>([](const std::string& line, Count& seen) {
                  ++seen.count;
                  return line;
                });
    lines.uid("more");
  }
  if (shape == "ballast") {  // 8 KiB per number, each under a key of its own
    lines = lines.key_by([](const std::string& line) { return line; })
                .map_with_state<Ballast>([](const std::string& line, Ballast& ballast) {
                  ballast.bytes.assign(8192, 'b');
                  return line;
                });
    lines.uid("ballast");
  }
  if (shape == "swelling") {  // all numbers swell one value
    lines = lines.key_by([](const std::string&) { return std::string("one"); })
                .map_with_state<Ballast>([](const std::string& line, Ballast& ballast) {
                  ballast.bytes.append(8192, 'b');
                  return line;
                });
    lines.uid("swelling");
  }
  if (shape == "same-uid") {
    lines = lines.map([](const std::string& line) { return line; });
    lines.uid("counts");
  }
  auto sink = output.empty()
                  ? lines.print()
                  : lines.write_files(output, [](const std::string& line) { return line; });
  sink.uid("output");
}
