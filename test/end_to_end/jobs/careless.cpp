// Counts numbers by key, and does it wrong in the way that --wrong names. For tests of `weir simulate`.
//
//   weir simulate careless.so --output DIRECTORY [--wrong WAY] [--records N] [--input FILE]
//
// At the end of the input each key says how many numbers it has seen, and what else it remembers of them. Without --wrong
// that depends on the input alone.
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include <weir/weir.hpp>

namespace {

using namespace weir;

constexpr std::uint64_t keys = 8;

/// What the job keeps where no checkpoint sees it.
std::map<std::uint64_t, std::int64_t> seen_by_key;
std::int64_t seen_by_all = 0;

/// The numbers from 0 to 7 in the order of an unordered set of pointers.
std::string in_order_of_addresses() {
  std::vector<std::unique_ptr<std::uint64_t>> numbers;
  std::unordered_set<const std::uint64_t*> set;
  for (std::uint64_t i = 0; i < 8; ++i) {
    numbers.push_back(std::make_unique<std::uint64_t>(i));
    set.insert(numbers.back().get());
  }
  std::string order;
  for (const std::uint64_t* one : set) order += std::to_string(*one);
  return order;
}

class Count final : public KeyedProcessFunction<std::uint64_t, std::uint64_t, std::string> {
 public:
  explicit Count(std::string wrong) : wrong_(std::move(wrong)) {}
  void open(RuntimeContext& context) override {
    count_ = context.state(ValueStateDescriptor<std::int64_t>{"count"});
    note_ = context.state(ValueStateDescriptor<std::string>{"note"});
    if (wrong_ == "throws") throw std::runtime_error("this job does not want to");
  }
  void process_element(const std::uint64_t& number, Context&, Collector<std::string>&) override {
    const std::uint64_t key = number % keys;
    ++count_.mutable_value();
    note_.mutable_value() = remember(key, number);
  }
  void on_end_of_input(const std::uint64_t& key, Context&, Collector<std::string>& out) {
    const std::int64_t count = wrong_ == "count in a static" ? seen_by_key[key] : *count_.value();
    out.collect(std::to_string(key) + '\t' + std::to_string(count));
  }

 private:
  std::string remember(std::uint64_t key, std::uint64_t number) {
    if (wrong_ == "count in a static") ++seen_by_key[key];
    if (wrong_ == "static counter") return std::to_string(++seen_by_all);
    if (wrong_ == "clock")
      return std::to_string(std::chrono::system_clock::now().time_since_epoch().count());
    if (wrong_ == "rand") return std::to_string(std::rand());
    if (wrong_ == "random device") return std::to_string(std::random_device()());
    if (wrong_ == "addresses") return in_order_of_addresses();
    if (wrong_ == "thread") std::thread([] {}).join();
    if (wrong_ == "crash" && number == 700) std::raise(SIGSEGV);
    if (wrong_ == "crash when it comes twice" && number == 700 && ++seen_by_all == 2)
      std::raise(SIGSEGV);
    if (wrong_ == "exit" && number == 700) std::exit(0);
    return "";
  }

  const std::string wrong_;
  ValueState<std::int64_t> count_;
  ValueState<std::string> note_;
};

}  // namespace

WEIR_JOB(careless) {
  const auto output = env.parameters().required("output");
  const auto wrong = env.parameters().get("wrong", "");
  const auto input = env.parameters().get("input", "");
  const auto records = static_cast<std::uint64_t>(env.parameters().number("records", 2000));
  if (wrong == "thread in the job function") std::thread([] {}).join();
  if (wrong == "crash in the job function") std::raise(SIGSEGV);

  auto numbers =
      input.empty()
          ? env.generate(wrong == "never ends" ? unlimited : records,
                         [](std::uint64_t number) { return number; })
                .uid("numbers")
          : env.read_text({input})
                .uid("lines")
                .map([](const std::string& line) -> std::uint64_t { return std::stoull(line); })
                .uid("numbers");
  numbers.key_by([](std::uint64_t number) { return number % keys; })
      .process(Count{wrong})
      .uid("count")
      .write_files(output, [](const std::string& line) { return line; })
      .uid("output");
}
