// Counts records of 16 bytes by key in a ValueState: the job of the workloads P1, P2, P3, P5, P14 and P17.
// Its keys come from a file that is read before the clock starts.
//
//   weir run keyed_count.so --keys FILE --records N [--warm N] [--load N] [--rate N] [--value 8|128]
//       [--work none|exchange|silent|emit] [--check] [--idle MS] [--report FILE]
//
// It first counts each key from 1 to `load` once, then `warm` and `records` keys of the file, over and over. The
// clock runs over the last; only they go at `rate` a second. What it measures goes to the report, a line each:
// `run BEGIN END RECORDS RSS` of each source, `first TIME` and `gap CHECKPOINT NANOSECONDS` of each sink, and with
// `--check` `hash SUM KEYS`. Times are monotonic, in nanoseconds; memory is in KiB.
#include "bench/keyed_count.hpp"

#include <array>
#include <cstdint>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

#include "bench/key_files.hpp"
#include "bench/stopwatch.hpp"
#include <weir/weir.hpp>

namespace {

using namespace weir;
using bench::Record;

struct Workload {
  std::vector<std::uint64_t> keys;
  std::uint64_t load = 0;
  std::uint64_t warm = 0;
  std::uint64_t records = 0;
  double rate = 0;  ///< over all subtasks; 0: as fast as possible
  std::chrono::milliseconds idle{0};
  std::string report;
};
using SharedWorkload = std::shared_ptr<const Workload>;

/// Appends a line to the report. Lines of different threads do not mix.
void report(const Workload& workload, const std::string& line) {
  if (workload.report.empty()) return;
  const std::string whole = line + "\n";
  const int file = ::open(workload.report.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (file < 0 || ::write(file, whole.data(), whole.size()) != static_cast<ssize_t>(whole.size()))
    throw std::runtime_error("cannot write " + workload.report);
  ::close(file);
}

struct Large {
  std::uint64_t count = 0;
  std::array<std::uint64_t, 15> rest{};
};
WEIR_FIELDS(Large, count, rest)

std::uint64_t& count_of(std::uint64_t& value) { return value; }
std::uint64_t& count_of(Large& value) { return value.count; }

/// A key and its count. What is emitted at the end of the input has the topmost bit of the count set.
struct Count {
  std::uint64_t key = 0;
  std::uint64_t count = 0;
};
WEIR_FIELDS(Count, key, count)
constexpr std::uint64_t final_count = std::uint64_t{1} << 63;

/// Emits its share of the records. It is not made to be restored in the middle.
class Keys final : public SourceOperator {
 public:
  explicit Keys(SharedWorkload workload) : workload_(std::move(workload)) {}

  Status open(OperatorContext& context) override {
    context_ = &context;
    const auto share = [&](std::uint64_t all, std::uint64_t subtask) {
      return all * subtask / context.parallelism();
    };
    const std::uint64_t subtask = context.subtask();
    first_loaded_ = 1 + share(workload_->load, subtask);
    load_end_ = share(workload_->load, subtask + 1) - share(workload_->load, subtask);
    const std::uint64_t drawn = workload_->warm + workload_->records;
    first_drawn_ = share(drawn, subtask);
    warm_end_ = load_end_ + workload_->warm / context.parallelism();
    end_ = load_end_ + share(drawn, subtask + 1) - share(drawn, subtask);
    rate_ = workload_->rate / context.parallelism();
    return {};
  }
  PollResult poll() override {
    if (next_ == warm_end_ && begin_ == 0) begin_ = bench::monotonic_nanoseconds();
    if (next_ == end_) return finish();
    std::uint64_t limit = next_ < load_end_ ? load_end_ : next_ < warm_end_ ? warm_end_ : end_;
    limit = std::min(limit, next_ + batch_capacity_records);
    if (rate_ > 0 && next_ >= warm_end_) {
      const auto due =
          static_cast<std::uint64_t>(static_cast<double>(next_ - warm_end_) / rate_ * 1e9);
      const std::uint64_t now = bench::monotonic_nanoseconds() - begin_;
      if (due > now) {
        context_->wake_at(context_->clock().now() + std::chrono::nanoseconds(due - now));
        return PollResult::nothing_now;
      }
      // Half a millisecond's records, so that pacing makes no gaps of its own.
      limit = std::min(limit, next_ + 1 + static_cast<std::uint64_t>(rate_ / 2000));
    }
    auto& out = output_.collector();
    if (next_ < load_end_) {
      for (; next_ < limit && !out.full(); ++next_) out.collect({first_loaded_ + next_, next_});
    } else {
      std::size_t at = (first_drawn_ + next_ - load_end_) % workload_->keys.size();
      for (; next_ < limit && !out.full(); ++next_) {
        out.collect({workload_->keys[at], next_});
        if (++at == workload_->keys.size()) at = 0;
      }
    }
    return PollResult::more;
  }
  std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

 private:
  PollResult finish() {
    if (!ended_)
      report(*workload_, "run " + std::to_string(begin_) + " " +
                             std::to_string(bench::monotonic_nanoseconds()) + " " +
                             std::to_string(end_ - warm_end_) + " " +
                             std::to_string(bench::status_kib("self", "VmRSS")));
    if (ended_ || workload_->idle.count() == 0) return PollResult::end;
    ended_ = true;
    context_->wake_at(context_->clock().now() + workload_->idle);
    return PollResult::nothing_now;
  }

  const SharedWorkload workload_;
  OperatorContext* context_ = nullptr;
  std::uint64_t next_ = 0;  // counts what this subtask has emitted, as do the four that follow
  std::uint64_t load_end_ = 0;
  std::uint64_t warm_end_ = 0;
  std::uint64_t end_ = 0;
  std::uint64_t first_loaded_ = 0;  // key
  std::uint64_t first_drawn_ = 0;   // place in the file, if that went on for ever
  std::uint64_t begin_ = 0;
  double rate_ = 0;
  bool ended_ = false;
  Output<Record> output_;
};

/// Counts in a value of type `V`. `checked`: emits every count once more at the end.
template <class V, bool checked>
class Counts final : public KeyedProcessFunction<std::uint64_t, Record, Count> {
 public:
  explicit Counts(bool emits) : emits_(emits) {}
  void open(RuntimeContext& context) override {
    value_ = context.state(ValueStateDescriptor<V>{"count"});
  }
  void process_element(const Record& record, Context&, Collector<Count>& out) override {
    const std::uint64_t count = ++count_of(value_.mutable_value());
    if (emits_) out.collect({record.key, count});
  }
  void on_end_of_input(const std::uint64_t& key, Context&, Collector<Count>& out)
    requires checked
  {
    out.collect({key, count_of(value_.mutable_value()) | final_count});
  }

 private:
  bool emits_;
  ValueState<V> value_;
};

/// Passes its records on to nobody: what the exchange alone costs.
class Forgets final : public KeyedProcessFunction<std::uint64_t, Record, Count> {
 public:
  void process_element(const Record&, Context&, Collector<Count>&) override {}
};

/// Takes records and forgets them, but for when they come and, `checked`, what the last counts are.
template <class T>
class Blackhole final : public Operator {
 public:
  Blackhole(SharedWorkload workload, bool checked)
      : workload_(std::move(workload)), checked_(checked) {}

  void on_batch(std::uint32_t, AnyBatch& batch, Cursor& cursor) override {
    const std::uint64_t now = bench::monotonic_nanoseconds();
    if (last_ == 0)
      report(*workload_, "first " + std::to_string(now));
    else
      gap_ = std::max(gap_, now - last_);
    last_ = now;
    if constexpr (std::is_same_v<T, Count>)
      if (checked_)
        for (std::size_t i = cursor.next; i < cursor.limit; ++i)
          add(static_cast<Batch<Count>&>(batch).values[i]);
    cursor.next = cursor.limit;
  }
  Progress before_barrier(const CheckpointBarrier&) override {
    gap_ = 0;  // the gap that a barrier is in counts: `last_` stays
    return Progress::done;
  }
  Status notify_checkpoint_complete(CheckpointId id, SnapshotKind) override {
    if (last_ == 0) return {};
    const std::uint64_t gap = std::max(gap_, bench::monotonic_nanoseconds() - last_);
    report(*workload_, "gap " + std::to_string(id.value) + " " + std::to_string(gap));
    return {};
  }
  Progress on_end(std::uint32_t) override {
    if (checked_) report(*workload_, "hash " + std::to_string(hash_) + " " + std::to_string(keys_));
    return Progress::done;
  }

 private:
  void add(const Count& value) {
    if ((value.count & final_count) == 0) return;
    hash_ += bench::entry_hash(value.key, value.count & ~final_count);
    ++keys_;
  }

  const SharedWorkload workload_;
  const bool checked_;
  std::uint64_t last_ = 0;
  std::uint64_t gap_ = 0;
  std::uint64_t hash_ = 0;
  std::uint64_t keys_ = 0;
};

template <class T>
void end_in_blackhole(const DataStream<T>& stream, const SharedWorkload& workload, bool checked) {
  stream
      .add_sink("blackhole", false,
                [workload, checked] { return std::make_unique<Blackhole<T>>(workload, checked); })
      .uid("blackhole");
}

}  // namespace

WEIR_JOB(keyed_count) {
  Parameters& parameters = env.parameters();
  auto workload = std::make_shared<Workload>();
  workload->keys = bench::read_keys(parameters.required("keys"));
  workload->load = parameters.number("load", 0);
  workload->warm = parameters.number("warm", 0);
  workload->records = parameters.number("records", 1'000'000);
  workload->rate = static_cast<double>(parameters.number("rate", 0));
  workload->idle = std::chrono::milliseconds(parameters.number("idle", 0));
  workload->report = parameters.get("report", "");
  const std::string work = parameters.get("work", "silent");
  const bool large = parameters.number("value", 8) == 128;
  const bool checked = parameters.flag("check");

  auto source =
      env.add_source<Record>("keys", [workload] { return std::make_unique<Keys>(workload); });
  source.uid("keys");
  if (work == "none") return end_in_blackhole(source, workload, false);
  const auto keyed = source.key_by([](const Record& record) { return record.key; });
  const auto count = [&](auto function) {
    auto counts = keyed.process(std::move(function));
    counts.uid("counts");
    end_in_blackhole(counts, workload, checked);
  };
  const bool emits = work == "emit";
  if (work == "exchange")
    count(Forgets());
  else if (large && checked)
    count(Counts<Large, true>(emits));
  else if (large)
    count(Counts<Large, false>(emits));
  else if (checked)
    count(Counts<std::uint64_t, true>(emits));
  else
    count(Counts<std::uint64_t, false>(emits));
}
