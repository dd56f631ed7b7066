// Measures Weir beside hand-written single-threaded loops that do the same work, the disk, and itself, in turn,
// in one run. Results that are wrong end it.
//
//   weir_bench [--quick] [--json FILE] [--directory DIR] [--only PART]...        (./dev bench calls it)
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <nlohmann/json.hpp>

#include "bench/by_hand.hpp"
#include "bench/child.hpp"
#include "bench/key_files.hpp"
#include "bench/keyed_count.hpp"
#include "bench/machine.hpp"
#include "bench/report.hpp"
#include "bench/state_workloads.hpp"
#include "bench/stopwatch.hpp"

namespace {

using namespace weir::bench;
using Json = nlohmann::ordered_json;

/// How much is done: enough for stable figures, or enough to see that they have not changed much.
struct Sizes {
  int repetitions = 5;
  int tries = 3;  ///< on a busy machine
  std::size_t keys_in_file = std::size_t{1} << 24;
  std::uint64_t records = 60'000'000;  ///< of keyed counts
  std::uint64_t many_keys = 10'000'000;
  std::uint64_t kept_records = 120'000'000;  ///< of keyed counts under checkpoints
  std::uint64_t rocksdb_records = 20'000'000;
  std::uint64_t large_values = 8'000'000;  ///< of 128 bytes
  double checkpoint_seconds = 45;          ///< for which they are counted under checkpoints
  const char* checkpoint_interval = "1s";
  std::uint64_t lists = 1'000'000;
  std::array<int, 4> large_lists{50, 25, 2, 5};  ///< arguments of bench/append_bench
  std::size_t text_bytes = 80'000'000;
};
constexpr Sizes quick_sizes{.repetitions = 3,
                            .tries = 1,
                            .keys_in_file = std::size_t{1} << 22,
                            .records = 6'000'000,
                            .many_keys = 2'000'000,
                            .kept_records = 12'000'000,
                            .rocksdb_records = 4'000'000,
                            .large_values = 500'000,
                            .checkpoint_seconds = 2,
                            .checkpoint_interval = "200ms",
                            .lists = 50'000,
                            .large_lists = {20, 12, 1, 3},
                            .text_bytes = 20'000'000};

/// Keys that are counted.
struct KeySet {
  std::string name;
  Distribution distribution;
  std::uint64_t different;  ///< at most
  std::string path;
  std::vector<std::uint64_t> keys{};
};

/// A run of the job `keyed_count`.
struct Counted {
  CountReport report;
  Finished process;
  Json summary;
  [[nodiscard]] double rate() const {
    return static_cast<double>(report.records) / report.seconds / 1e6;
  }
};
/// What it is asked to do.
struct CountOptions {
  std::uint64_t warm = 0;
  std::uint64_t records = 0;
  std::uint64_t load = 0;
  std::uint64_t rate = 0;
  int value_bytes = 8;
  int parallelism = 2;
  const char* work = "silent";
  std::uint64_t idle_ms = 0;
  std::uint64_t restored = 0;         ///< keys from 1 to this have been counted once already
  bool checked = false;               ///< against what the hand-written loop counts
  std::vector<std::string> run = {};  ///< options of `weir run`
};

class Bench {
 public:
  Bench(std::string programs, std::string directory, const Sizes& sizes,
        std::vector<std::string> only)
      : programs_(std::move(programs)),
        directory_(std::move(directory)),
        sizes_(sizes),
        only_(std::move(only)),
        machine_(report_, directory_, uniform_few_.keys, sizes.tries) {}

  Report& report() { return report_; }

  void repeat_all() {
    say(0, "preparing");
    for (KeySet* set : {&uniform_few_, &zipf_few_, &uniform_many_, &zipf_many_, &large_}) {
      write_keys(set->path, set->distribution, set->different, sizes_.keys_in_file);
      set->keys = read_keys(set->path);
      std::fprintf(stderr, "\r%s: XXH3-64 %016llx\n", set->name.c_str(),
                   static_cast<unsigned long long>(
                       XXH3_64bits(set->keys.data(), set->keys.size() * sizeof(set->keys[0]))));
    }
    write_text(text(), sizes_.text_bytes);
    if (is_wanted("restore")) make_savepoint();
    for (repetition_ = 0; repetition_ < sizes_.repetitions; ++repetition_) {
      machine_.measure();
      part("keyed", "keyed counts", [&] { keyed_counts(); });
      part("kept", "counts under checkpoints", [&] { kept_under_checkpoints(); });
      part("large", "large state", [&] { large_state(); });
      part("incremental", "incremental checkpoints",
           [&] { measure_incremental(report_, fresh("incremental"), sizes_.large_values); });
      part("restore", "restores", [&] { restores(); });
      part("lists", "lists", [&] { measure_appends(report_, fresh("lists"), sizes_.lists); });
      part("rocksdb", "RocksDB", [&] { rocksdb(); });
      part("words", "words", [&] { words(); });
      part("footprint", "footprint", [&] { footprint(); });
    }
    // Once: it takes minutes and repeats itself.
    repetition_ = 0;
    part("larger", "state larger than memory", [&] {
      lists_larger_than_memory();
      if (sizes_.repetitions >= 5) larger_than_memory();
    });
    std::fprintf(stderr, "\r%60s\r", "");
  }

 private:
  void say(int repetition, const char* what) const {
    std::fprintf(stderr, "\rrepetition %d of %d: %-30s", repetition + 1, sizes_.repetitions, what);
  }
  [[nodiscard]] bool is_wanted(const std::string& name) const {
    return only_.empty() || std::ranges::find(only_, name) != only_.end();
  }
  template <class F>
  void part(const char* name, const char* what, F&& f) {
    if (!is_wanted(name)) return;
    say(repetition_, what);
    machine_.begin_block();
    f();
    const std::string command = "rm -rf '" + directory_ + "'/made-*";
    if (std::system(command.c_str()) != 0) throw std::runtime_error("cannot clear " + directory_);
  }
  [[nodiscard]] KeySet key_set(Distribution distribution, std::uint64_t keys) const {
    const char* kind = distribution == Distribution::uniform ? "U" : "Z";
    return {kind + million(keys), distribution, keys,
            directory_ + "/keys-" + kind + std::to_string(keys)};
  }
  [[nodiscard]] std::string text() const { return directory_ + "/text.txt"; }
  [[nodiscard]] std::string weir() const { return programs_ + "/../weir"; }
  /// A path below the run's directory that goes with the part.
  [[nodiscard]] std::string fresh(const std::string& name) {
    return directory_ + "/made-" + name + "-" + std::to_string(++made_);
  }

  /// Runs `weir WORDS`, whose output is JSON.
  [[nodiscard]] Json ask_weir(std::vector<std::string> words, Finished* process = nullptr) const {
    words.insert(words.begin(), weir());
    Finished finished = run_program(words);
    auto json = Json::parse(finished.output, nullptr, false);
    if (finished.exit_code != 0 || !json.is_object()) {
      std::string command;
      for (const std::string& word : words) command += (command.empty() ? "" : " ") + word;
      throw std::runtime_error("this failed; run it by hand: " + command);
    }
    if (process != nullptr) *process = std::move(finished);
    return json;
  }
  /// The words of `weir run` for the job `keyed_count`.
  [[nodiscard]] std::vector<std::string> count_words(const KeySet& keys,
                                                     const CountOptions& options,
                                                     const std::string& report) const {
    std::vector<std::string> words{"run", "--json", "-p", std::to_string(options.parallelism)};
    words.insert(words.end(), options.run.begin(), options.run.end());
    words.push_back(programs_ + "/keyed_count.so");
    const auto option = [&](const char* name, const std::string& value) {
      words.insert(words.end(), {name, value});
    };
    option("--keys", keys.path);
    option("--warm", std::to_string(options.warm));
    option("--records", std::to_string(options.records));
    option("--load", std::to_string(options.load));
    option("--rate", std::to_string(options.rate));
    option("--value", std::to_string(options.value_bytes));
    option("--work", options.work);
    option("--idle", std::to_string(options.idle_ms));
    option("--report", report);
    if (options.checked) words.push_back("--check");
    return words;
  }
  [[nodiscard]] Counted count(const KeySet& keys, const CountOptions& options) {
    const std::string report = fresh("report");
    Counted counted;
    counted.summary = ask_weir(count_words(keys, options, report), &counted.process);
    counted.report = read_report(report);
    if (options.checked) {
      const std::uint64_t once = options.load + options.restored;
      const auto right = count_by_hand(keys.keys, std::max(keys.different, once), options.warm,
                                       options.records, 24, true, once);
      if (counted.report.hash != right.hash || counted.report.keys != right.keys)
        throw std::runtime_error(
            "wrong counts of " + keys.name + ": " + std::to_string(counted.report.keys) +
            " keys with the hash " + std::to_string(counted.report.hash) + ", by hand " +
            std::to_string(right.keys) + " with " + std::to_string(right.hash));
    }
    return counted;
  }
  /// Counts are compared with those of the hand-written loop in the first repetition.
  [[nodiscard]] bool first() const { return repetition_ == 0; }
  static std::string million(std::uint64_t count) {
    return count % 1'000'000 == 0 ? std::to_string(count / 1'000'000) + "M"
                                  : std::to_string(count / 1'000'000) + "." +
                                        std::to_string(count % 1'000'000 / 100'000) + "M";
  }

  void keyed_counts() {
    const std::uint64_t warm = sizes_.keys_in_file;
    const std::uint64_t n = sizes_.records;
    double resident[2] = {};
    std::uint64_t different[2] = {};
    int set = 0;
    for (const KeySet* keys : {&uniform_few_, &zipf_few_, &uniform_many_}) {
      Row& plain = report_.row("P1", "by hand", keys->name + ", plain", "M records/s");
      report_.add(plain, static_cast<double>(n) / 1e6 /
                             count_by_hand(keys->keys, keys->different, warm, n, 0).seconds);
      Row& hand = report_.row("P1", "by hand", keys->name + ", prefetching", "M records/s");
      const auto by_hand = count_by_hand(keys->keys, keys->different, warm, n, 24);
      report_.add(hand, static_cast<double>(n) / 1e6 / by_hand.seconds);
      const auto measure = [&](const char* work, int p) {
        const auto counted =
            count(*keys,
                  {.warm = warm, .records = n, .parallelism = p, .work = work, .checked = first()});
        const bool has_floor = p == 2 && keys != &zipf_few_;
        Row& row = report_.row("P1", "weir", keys->name + ", " + work + ", -p " + std::to_string(p),
                               "M records/s", &hand,
                               has_floor ? std::optional(ratio_at_least(0.25)) : std::nullopt);
        report_.add(row, counted.rate());
        row.besides["cpu_seconds_per_million_records"].push_back(
            counted.process.processor_seconds * 1e6 / static_cast<double>(warm + n));
        row.besides["peak_resident_mib"].push_back(counted.process.peak_mib);
        return counted;
      };
      const Counted alone = measure("silent", 1);
      measure("silent", 2);
      measure("emit", 2);
      if (keys == &zipf_few_) continue;
      resident[set] = alone.report.resident_mib;
      different[set++] = by_hand.keys;
    }
    for (const char* work : {"none", "exchange"})
      report_.add(
          report_.row("P1", "weir",
                      uniform_few_.name + ", " +
                          (work == std::string("none") ? "source alone" : "exchange alone") +
                          ", -p 2",
                      "M records/s"),
          count(uniform_few_, {.warm = warm, .records = n, .work = work}).rate());
    report_.add(report_.row("P14", "weir",
                            "8 B values, from " + million(uniform_few_.different) + " to " +
                                million(uniform_many_.different) + " keys",
                            "B/key", nullptr, at_most(64)),
                (resident[1] - resident[0]) * 1024 * 1024 /
                    static_cast<double>(different[1] - different[0]));
  }

  void kept_under_checkpoints() {
    const auto measure = [&](const KeySet& keys, const std::string& what, const char* interval,
                             bool incremental, double floor) {
      CountOptions options{
          .warm = sizes_.keys_in_file, .records = sizes_.kept_records, .checked = first()};
      options.run = {"-D", "state.backend=filesystem"};
      Row& without =
          report_.row("P2", "weir", keys.name + ", fs, -p 2, no checkpoints", "M records/s");
      const Counted alone = count(keys, options);
      report_.add(without, alone.rate());
      const std::string directory = fresh("p2");
      options.run.insert(
          options.run.end(),
          {"-D", "state.checkpoints.dir=" + directory, "-D",
           "execution.checkpointing.interval=" + std::string(interval), "-D",
           std::string("execution.checkpointing.incremental=") + (incremental ? "true" : "false")});
      const Counted with = count(keys, options);
      report_.add(report_.row("P2", "weir", keys.name + ", fs, -p 2, " + what, "M records/s",
                              &without, ratio_at_least(floor)),
                  with.rate());
      report_.add(report_.row("P2", "weir", keys.name + ", fs, -p 2, " + what + ": completed",
                              "checkpoints"),
                  with.summary.at("checkpoints").at("completed").get<double>());
      report_.add(report_.row("P14", "weir", keys.name + ", fs, " + what + ": peak beside none",
                              "x", nullptr, at_most(1.5)),
                  with.process.peak_mib / alone.report.resident_mib);
    };
    measure(uniform_many_, "a full one each second", "1s", false, 0.8);
    measure(zipf_many_, "incremental each 100 ms", "100ms", true, 0.7);
  }

  /// Full checkpoints of large state while it is changed at half the rate that is possible.
  void large_state() {
    // At full speed, and longer than from one checkpoint to the next: then memory that checkpoints take is there.
    CountOptions options{.warm = 4 * sizes_.large_values,
                         .records = sizes_.large_values / 2,
                         .load = sizes_.large_values,
                         .value_bytes = 128,
                         .parallelism = 1,
                         .work = "emit",
                         .checked = first()};
    options.run = {"-D", "state.backend=filesystem"};
    const std::string what = million(sizes_.large_values) + " keys of 128 B";
    const Counted alone = count(large_, options);
    report_.add(report_.row("P3", "weir", what + ", no checkpoints, -p 1", "M records/s"),
                alone.rate());

    options.rate = static_cast<std::uint64_t>(alone.rate() * 1e6 / 2);
    options.records =
        static_cast<std::uint64_t>(static_cast<double>(options.rate) * sizes_.checkpoint_seconds);
    const std::string trace = fresh("trace");
    options.run.insert(
        options.run.end(),
        {"--trace", trace, "-D", "state.checkpoints.dir=" + fresh("p3"), "-D",
         "execution.checkpointing.interval=" + std::string(sizes_.checkpoint_interval)});
    const Counted with = count(large_, options);
    // The first third began while the keys were loaded and counted at full speed: it warms memory and page cache. The
    // input ends in the last one, which does not say then how long a snapshot takes.
    std::vector<double> durations;
    std::vector<double> gaps;
    const std::uint64_t all = with.report.gaps.empty() ? 0 : with.report.gaps.rbegin()->first;
    const auto times = checkpoint_durations(trace);
    for (const auto& [checkpoint, nanoseconds] : with.report.gaps) {
      if (checkpoint <= all / 3 || checkpoint == all || !times.contains(checkpoint)) continue;
      durations.push_back(times.at(checkpoint));
      gaps.push_back(static_cast<double>(nanoseconds) / 1e6);
    }
    if (durations.empty())
      throw std::runtime_error("no checkpoint was completed while records came");

    const std::uint64_t bytes = sizes_.large_values * 128;
    const double direct = write_bandwidth(directory_ + "/direct", bytes, true);
    const double buffered = write_bandwidth(directory_ + "/buffered", bytes, false);
    report_.add(report_.row("P3", "disk", what + ", as many bytes, past the page cache", "MB/s"),
                direct / 1e6);
    report_.add(report_.row("P3", "disk", what + ", as many bytes, through the page cache", "MB/s"),
                buffered / 1e6);
    Row& disk = report_.row("P3", "disk", what + ", as many bytes, the quicker way", "ms");
    report_.add(disk, 1e3 * static_cast<double>(bytes) / std::max(direct, buffered));
    Row& row = report_.row("P3", "weir", what + ", full, fs, half the rate: trigger to complete",
                           "ms", &disk, ratio_at_most(3));
    for (const double milliseconds : durations) report_.add(row, milliseconds);
    Row& longest = report_.row("P5", "weir", what + ", longest gap during one, p99.9", "ms",
                               nullptr, at_most(10));
    longest.quantile = 0.999;
    Row& usual = report_.row("P5", "weir", what + ", longest gap during one, median", "ms");
    for (const double gap : gaps) {
      report_.add(longest, gap);
      report_.add(usual, gap);
    }
    // No floor: P14 is about counters, whose copies are small beside the rest of a process.
    report_.add(report_.row("P14", "weir", what + ", full, fs: peak beside none", "x"),
                with.process.peak_mib / alone.report.resident_mib);
  }

  /// A canonical savepoint of many keys, which the restores begin from.
  void make_savepoint() {
    say(0, "savepoint");
    const std::string report = directory_ + "/savepoint-report";
    CountOptions options{.load = sizes_.many_keys, .work = "emit", .idle_ms = 3'600'000};
    options.run = {"-d", "-D", "state.backend=filesystem", "-D",
                   "state.savepoints.dir=" + directory_ + "/savepoints"};
    const std::string job =
        ask_weir(count_words(uniform_many_, options, report)).at("job").get<std::string>();
    while (read_report(report).sources < 2) {
      (void)ask_weir({"info", "--json", job});  // throws once there is no such job any more
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    savepoint_ = ask_weir({"savepoint", "--json", job}).at("savepoint").get<std::string>();
    (void)ask_weir({"cancel", "--json", job});
  }

  void restores() {
    for (const char* backend : {"memory", "filesystem", "rocksdb"}) {
      CountOptions options{
          .records = 1000, .work = "emit", .restored = sizes_.many_keys, .checked = first()};
      options.run = {"-s", savepoint_, "-D", std::string("state.backend=") + backend};
      const Counted counted = count(uniform_many_, options);
      if (counted.report.first <= counted.process.begin)
        throw std::runtime_error("no record came after a restore");
      report_.add(report_.row("restore", "weir",
                              million(sizes_.many_keys) + " keys, canonical, " + backend +
                                  ", -p 2: to the first result",
                              "s", nullptr, at_most(3)),
                  static_cast<double>(counted.report.first - counted.process.begin) / 1e9);
    }
  }

  void rocksdb() {
    const auto measure = [&](const char* backend, const Row* cost) -> Row& {
      CountOptions options{.warm = sizes_.keys_in_file,
                           .records = sizes_.rocksdb_records,
                           .parallelism = 1,
                           .work = "emit",
                           .checked = first()};
      options.run = {"-D", std::string("state.backend=") + backend};
      Row& row = report_.row("rocksdb", "weir", uniform_few_.name + ", " + backend + ", -p 1",
                             "M records/s", cost,
                             cost != nullptr ? std::optional(ratio_at_least(0.5)) : std::nullopt);
      report_.add(row, count(uniform_few_, options).rate());
      return row;
    };
    measure("rocksdb", &measure("memory", nullptr));
  }

  void words() {
    const auto megabytes = static_cast<double>(sizes_.text_bytes) / 1e6;
    Row& hand = report_.row("words", "by hand", "one thread", "MB/s");
    report_.add(hand, megabytes / count_words_by_hand(text()));
    const auto measure = [&](const char* backend, int p, std::optional<Floor> floor) {
      const auto summary = ask_weir({"run", "--json", "-p", std::to_string(p), "-D",
                                     std::string("state.backend=") + backend,
                                     programs_ + "/../examples/word_count.so", "--input", text(),
                                     "--output", fresh("words")});
      report_.add(report_.row("words", "weir", std::string(backend) + ", -p " + std::to_string(p),
                              "MB/s", &hand, floor),
                  megabytes / (summary.at("duration_ms").get<double>() / 1000));
    };
    measure("memory", 1, std::nullopt);
    measure("memory", 2, ratio_at_least(0.8));
    measure("rocksdb", 1, std::nullopt);
    measure("rocksdb", 2, ratio_at_least(0.4));
  }

  void footprint() {
    const CountOptions options{.records = 1, .parallelism = 1, .work = "emit", .idle_ms = 500};
    // A file of its own, because keys are read into memory.
    const KeySet one{"one key", Distribution::uniform, 1, directory_ + "/one-key"};
    std::ofstream(one.path, std::ios::binary).write("\1\0\0\0\0\0\0\0", 8);
    const Counted counted = count(one, options);
    report_.add(report_.row("P17", "weir", "start of the command to the first result", "ms",
                            nullptr, at_most(500)),
                static_cast<double>(counted.report.first - counted.process.begin) / 1e6);
    report_.add(
        report_.row("P17", "weir", "resident memory of an idle job", "MiB", nullptr, at_most(100)),
        counted.process.last_mib);
    report_.add(report_.row("P17", "weir", "weir run of a job of one record, start to end", "ms"),
                1e3 * count(one, {.records = 1, .parallelism = 1, .work = "emit"}).process.seconds);
  }

  /// What the program of that name in this directory prints.
  [[nodiscard]] std::string output_of(const std::string& name,
                                      const std::vector<std::string>& words) const {
    std::vector<std::string> command{programs_ + "/" + name};
    command.insert(command.end(), words.begin(), words.end());
    const Finished finished = run_program(command);
    if (finished.exit_code != 0) throw std::runtime_error(name + " failed");
    return finished.output;
  }
  /// The numbers that stand behind `text` in the lines of `output` that begin with `begin`.
  static std::vector<double> numbers_in(const std::string& output, const std::string& begin,
                                        const std::string& text) {
    std::vector<double> numbers;
    std::istringstream lines(output);
    for (std::string line; std::getline(lines, line);)
      if (const std::size_t at = line.find(text); line.starts_with(begin) && at != line.npos)
        numbers.push_back(std::strtod(line.c_str() + at + text.size(), nullptr));
    if (numbers.empty()) throw std::runtime_error("nothing is said of '" + begin + "'");
    return numbers;
  }

  /// As bench/append_bench.cpp says, prints and checks it. The floor of P15, twice as fast as Flink's RocksDB, stands
  /// beside Get and Put until Flink is measured in the same run.
  void lists_larger_than_memory() {
    std::vector<std::string> words;
    for (const int argument : sizes_.large_lists) words.push_back(std::to_string(argument));
    const std::string output = output_of("append_bench", words);
    const int thousand_lists = sizes_.large_lists[0];
    const auto measure = [&](const std::string& state, const std::string& what,
                             const std::string& handle) {
      const auto row = [&](const std::string& system, const std::string& how,
                           const std::string& measured, const Row* cost,
                           std::optional<Floor> floor) -> Row& {
        Row& made = report_.row("P15", system, what + how, "M/s", cost, floor);
        for (const double rate : numbers_in(output, state + ", " + measured + ":", "add "))
          report_.add(made, rate);
        return made;
      };
      const Row& merge = row("by hand", "Merge on RocksDB", "Merge by hand", nullptr, {});
      const Row& put = row("by hand", "Get and Put on RocksDB", "Get and Put by hand", nullptr, {});
      row("weir", handle + " on rocksdb, read before each", "weir, reading", &put, {});
      row("weir", handle + " on rocksdb, beside Get and Put", "weir", &put, ratio_at_least(2));
      row("weir", handle + " on rocksdb, beside Merge", "weir", &merge, {});
    };
    measure("list", std::to_string(thousand_lists) + " K lists larger than memory, 8 B by ",
            "ListState");
    measure("largest",
            std::to_string(10 * thousand_lists) + " K keys larger than memory, largest by ",
            "ReducingState");
  }

  /// As bench/state_bench.cpp says and prints it.
  void larger_than_memory() {
    const std::string output = output_of("state_bench", {"10", "5", "128"});
    const std::string unit = "M records/s";
    const std::string keys = "10 M keys of 104 B, ";
    Row& simple = report_.row("P6", "by hand", keys + "Get and Put on RocksDB", unit);
    Row& batched = report_.row("P6", "by hand", keys + "MultiGet and WriteBatch", unit);
    Row& beside_simple = report_.row("P6", "weir", keys + "rocksdb, beside Get and Put", unit,
                                     &simple, ratio_at_least(0.9));
    Row& beside_batched =
        report_.row("P6", "weir", keys + "rocksdb, beside MultiGet and WriteBatch", unit, &batched,
                    ratio_at_least(0.5));
    for (const double rate : numbers_in(output, "by hand", "read, change, write"))
      report_.add(simple, rate);
    for (const double rate : numbers_in(output, "batched", "MultiGet, WriteBatch"))
      report_.add(batched, rate);
    for (const double rate : numbers_in(output, "weir", "read, change, write")) {
      report_.add(beside_simple, rate);
      report_.add(beside_batched, rate);
    }
  }

  /// Text whose words follow Zipf's law, so that it can be made anew on any machine.
  static void write_text(const std::string& path, std::size_t bytes) {
    std::ofstream out(path, std::ios::binary);
    std::uint64_t number = 0;
    for (std::size_t written = 0; written < bytes;) {
      std::string line;
      for (int i = 0; i < 10; ++i) {
        // An even share of ranks per octave is the law's discrete form.
        const std::uint64_t random = record(number++, ~std::uint64_t{0} >> 1).key;
        const std::uint64_t octave = random % 18;
        std::uint64_t letters =
            record((std::uint64_t{1} << octave) + (random >> 8) % (std::uint64_t{1} << octave),
                   ~std::uint64_t{0} >> 1)
                .key;
        for (std::uint64_t letter = 0; letter < 2 + octave / 3; ++letter, letters /= 26)
          line += static_cast<char>('a' + letters % 26);
        line += ' ';
      }
      line.back() = '\n';
      out << line;
      written += line.size();
    }
    out.close();
    if (!out) throw std::runtime_error("cannot write " + path);
  }

  const std::string
      programs_;  // the directory of this program; the command and the jobs lie around it
  const std::string directory_;  // for files of this run
  const Sizes sizes_;
  const std::vector<std::string> only_;  // parts; empty: all
  KeySet uniform_few_ = key_set(Distribution::uniform, 1'000'000);
  KeySet zipf_few_ = key_set(Distribution::zipf, 1'000'000);
  KeySet uniform_many_ = key_set(Distribution::uniform, sizes_.many_keys);
  KeySet zipf_many_ = key_set(Distribution::zipf, sizes_.many_keys);
  KeySet large_ = key_set(Distribution::uniform, sizes_.large_values);
  Report report_;
  Machine machine_;
  std::string savepoint_;
  int repetition_ = 0;
  int made_ = 0;
};

int fail(const std::string& what, int code) {
  std::cerr << "weir_bench: " << what << '\n';
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> parts{"keyed", "kept",    "large", "incremental", "restore",
                                       "lists", "rocksdb", "words", "footprint",   "larger"};
  bool quick = false;
  std::string json_file;
  std::string parent = "/tmp";
  std::vector<std::string> only;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--quick")
      quick = true;
    else if (word == "--json" && i + 1 < argc)
      json_file = argv[++i];
    else if (word == "--directory" && i + 1 < argc)
      parent = argv[++i];
    else if (word == "--only" && i + 1 < argc &&
             std::ranges::find(parts, argv[i + 1]) != parts.end())
      only.emplace_back(argv[++i]);
    else {
      std::string all;
      for (const std::string& part : parts) all += " " + part;
      return fail("unknown option '" + word +
                      "'; the options are --quick, --json FILE, --directory DIR and --only PART, "
                      "with PART one of" +
                      all,
                  2);
    }
  }
  const std::string self = argv[0];
  std::string directory = parent + "/weir-bench-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr)
    return fail("cannot make a directory in " + parent + "; choose another with --directory", 1);
  int code = 0;
  Bench bench(self.find('/') == std::string::npos ? "." : self.substr(0, self.rfind('/')),
              directory, quick ? quick_sizes : Sizes{}, only);
  try {
    bench.repeat_all();
    bench.report().print();
    if (!json_file.empty() && !bench.report().write_json(json_file))
      code = fail("cannot write " + json_file, 1);
  } catch (const std::exception& failure) {
    code = fail(failure.what(), 1);
  }
  if (std::system(("rm -rf '" + directory + "'").c_str()) != 0)
    return fail("cannot remove " + directory, 1);
  return code;
}
