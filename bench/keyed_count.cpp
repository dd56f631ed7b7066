// The workload P1: records of 16 bytes, counted by key in a ValueState, results thrown away.
//
//   weir run keyed_count.so [--records N] [--keys N]
#include "bench/keyed_count.hpp"

#include <cstdint>

#include <weir/weir.hpp>

namespace {

using namespace weir;
using bench::Record;

/// Takes records and forgets them.
class Blackhole final : public Operator {
 public:
  void on_batch(std::uint32_t, AnyBatch&, Cursor& cursor) override { cursor.next = cursor.limit; }
};

}  // namespace

WEIR_JOB(keyed_count) {
  const auto records = env.parameters().number("records", 1'000'000);
  const auto keys = env.parameters().number("keys", 1'000'000);
  env.generate(records, [keys](std::uint64_t i) { return bench::record(i, keys); })
      .uid("records")
      .key_by([](const Record& record) { return record.key; })
      .map_with_state<std::uint64_t>([](const Record&, std::uint64_t& count) { return ++count; })
      .uid("counts")
      .add_sink("blackhole", false, [] { return std::make_unique<Blackhole>(); })
      .uid("blackhole");
}
