// Measures Weir beside hand-written single-threaded loops that do the same work, in turn, in one run.
//
//   weir_bench [--quick] [--json FILE] [--directory DIR]        (./dev bench calls it)
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <nlohmann/json.hpp>

#include "bench/by_hand.hpp"
#include "bench/keyed_count.hpp"
#include "bench/report.hpp"
#include "bench/state_workloads.hpp"
#include "bench/stopwatch.hpp"

namespace {

using namespace weir::bench;
using Json = nlohmann::ordered_json;

/// How much is done: enough for stable figures, or enough to see that they have not changed much.
struct Sizes {
  int repetitions = 5;
  std::uint64_t records = 40'000'000;  ///< of keyed counts
  std::uint64_t many_keys = 10'000'000;
  std::uint64_t rocksdb_records = 10'000'000;
  std::uint64_t large_values = 8'000'000;  ///< of 128 bytes
  std::uint64_t appends = 50'000'000;
  std::size_t text_bytes = 80'000'000;
};
constexpr Sizes quick_sizes{3, 10'000'000, 2'000'000, 2'000'000, 500'000, 10'000'000, 20'000'000};

/// A run of `weir run`, as it and the system tell it.
struct Run {
  double seconds = 0;       ///< of the job
  double wall_seconds = 0;  ///< of the process
  double peak_mib = 0;      ///< the largest resident memory
  double checkpoints = 0;   ///< completed
};

class Bench {
 public:
  Bench(std::string programs, std::string directory, const Sizes& sizes)
      : programs_(std::move(programs)), directory_(std::move(directory)), sizes_(sizes) {}

  Report& report() { return report_; }

  void repeat_all() {
    write_text(text(), sizes_.text_bytes);
    for (int i = 0; i < sizes_.repetitions; ++i) {
      say(i, "keyed counts");
      keyed_counts();
      say(i, "checkpoints");
      kept_under_checkpoints();
      measure_checkpoints(report_, fresh("checkpoints"), sizes_.large_values);
      say(i, "restores");
      measure_restores(report_, fresh("restores"), sizes_.many_keys);
      say(i, "lists");
      measure_appends(report_, 1'000'000, sizes_.appends);
      say(i, "words");
      words();
      say(i, "footprint");
      footprint();
      clear();
    }
    std::fprintf(stderr, "\r%60s\r", "");
  }

 private:
  void say(int repetition, const char* what) const {
    std::fprintf(stderr, "\rrepetition %d of %d: %-20s", repetition + 1, sizes_.repetitions, what);
  }
  [[nodiscard]] std::string text() const { return directory_ + "/text.txt"; }
  [[nodiscard]] std::string fresh(const std::string& name) {
    return directory_ + "/" + name + "-" + std::to_string(++made_);
  }
  /// Removes everything but the text.
  void clear() const {
    const std::string command =
        "find '" + directory_ + "' -mindepth 1 -maxdepth 1 ! -name text.txt -exec rm -rf {} +";
    if (std::system(command.c_str()) != 0) throw std::runtime_error("cannot clear " + directory_);
  }

  /// Runs `weir run --json ARGUMENTS`.
  [[nodiscard]] Run run(const std::vector<std::string>& arguments) const {
    int out[2];
    if (::pipe(out) != 0) throw std::runtime_error("no pipe");
    const Stopwatch stopwatch;
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(out[1], 1);
      ::close(out[0]);
      ::close(out[1]);
      std::vector<std::string> words{programs_ + "/../weir", "run", "--json"};
      words.insert(words.end(), arguments.begin(), arguments.end());
      std::vector<char*> argv;
      for (std::string& word : words) argv.push_back(word.data());
      argv.push_back(nullptr);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(out[1]);
    std::string output;
    std::array<char, 4096> buffer{};
    for (ssize_t size; (size = ::read(out[0], buffer.data(), buffer.size())) > 0;)
      output.append(buffer.data(), static_cast<std::size_t>(size));
    ::close(out[0]);
    int status = 0;
    rusage usage{};
    ::wait4(child, &status, 0, &usage);
    const auto json = Json::parse(output, nullptr, false);
    if (status != 0 || !json.is_object() || json.value("state", "") != "FINISHED") {
      std::string command = programs_ + "/../weir run";
      for (const std::string& word : arguments) command += " " + word;
      throw std::runtime_error("a job did not finish; run it by hand: " + command);
    }
    return {json.at("duration_ms").get<double>() / 1000, stopwatch.seconds(),
            static_cast<double>(usage.ru_maxrss) / 1024,
            json.at("checkpoints").at("completed").get<double>()};
  }
  [[nodiscard]] Run count(std::uint64_t records, std::uint64_t keys, int parallelism,
                          std::vector<std::string> options = {}) const {
    options.insert(options.begin(), {"-p", std::to_string(parallelism)});
    options.push_back(programs_ + "/keyed_count.so");
    options.insert(options.end(),
                   {"--records", std::to_string(records), "--keys", std::to_string(keys)});
    return run(options);
  }
  static double rate(std::uint64_t records, double seconds) {
    return static_cast<double>(records) / seconds / 1e6;
  }

  void keyed_counts() {
    const std::uint64_t n = sizes_.records;
    for (const std::uint64_t keys : {std::uint64_t{1'000'000}, sizes_.many_keys}) {
      const std::string name = std::to_string(keys / 1'000'000) + " M keys";
      Row& hand = report_.row("P1", "by hand", name, "M records/s");
      hand.values.push_back(rate(n, count_by_hand(n, keys)));
      for (const int p : {1, 2})
        report_.row("P1", "weir", name + ", memory, -p " + std::to_string(p), "M records/s", &hand)
            .values.push_back(rate(n, count(n, keys, p).seconds));
    }
    const std::uint64_t m = sizes_.rocksdb_records;
    Row& memory = report_.row("rocksdb", "weir", "1 M keys, memory, -p 1", "M records/s");
    memory.values.push_back(rate(m, count(m, 1'000'000, 1).seconds));
    report_.row("rocksdb", "weir", "1 M keys, rocksdb, -p 1", "M records/s", &memory)
        .values.push_back(rate(m, count(m, 1'000'000, 1, {"-D", "state.backend=rocksdb"}).seconds));
    // What a key takes: a run with many keys beside one with a thousand.
    const double many = count(2 * sizes_.many_keys, sizes_.many_keys, 1).peak_mib;
    const double few = count(2 * sizes_.many_keys, 1000, 1).peak_mib;
    report_
        .row("P14", "weir", std::to_string(sizes_.many_keys / 1'000'000) + " M keys, 8 B values",
             "B/key")
        .values.push_back((many - few) * 1024 * 1024 / static_cast<double>(sizes_.many_keys));
  }

  void kept_under_checkpoints() {
    const std::uint64_t n = 2 * sizes_.records;
    const std::string name = std::to_string(sizes_.many_keys / 1'000'000) + " M keys, fs, -p 2, ";
    const std::vector<std::string> fs{"-D", "state.backend=filesystem"};
    Row& without = report_.row("P2", "weir", name + "no checkpoints", "M records/s");
    without.values.push_back(rate(n, count(n, sizes_.many_keys, 2, fs).seconds));
    const auto with = [&](const std::string& what, std::vector<std::string> options) {
      options.insert(options.end(), fs.begin(), fs.end());
      options.insert(options.end(), {"-D", "state.checkpoints.dir=" + fresh("p2")});
      const Run done = count(n, sizes_.many_keys, 2, options);
      report_.row("P2", "weir", name + what, "M records/s", &without)
          .values.push_back(rate(n, done.seconds));
      report_.row("P2", "weir", name + what + ", completed", "checkpoints")
          .values.push_back(done.checkpoints);
    };
    with("one a second", {"-D", "execution.checkpointing.interval=1s"});
    with("one each 100 ms, incremental", {"-D", "execution.checkpointing.interval=100ms", "-D",
                                          "execution.checkpointing.incremental=true"});
  }

  void words() {
    const auto megabytes = static_cast<double>(sizes_.text_bytes) / 1e6;
    Row& hand = report_.row("words", "by hand", "one thread", "MB/s");
    hand.values.push_back(megabytes / count_words_by_hand(text()));
    const auto measure = [&](const std::string& name, std::vector<std::string> options) {
      options.insert(options.end(), {programs_ + "/../examples/word_count.so", "--input", text(),
                                     "--output", fresh("words")});
      report_.row("words", "weir", name, "MB/s", &hand)
          .values.push_back(megabytes / run(options).seconds);
    };
    measure("memory, -p 1", {"-p", "1"});
    measure("memory, -p 2", {"-p", "2"});
    measure("rocksdb, -p 1", {"-p", "1", "-D", "state.backend=rocksdb"});
  }

  void footprint() {
    const Run one = count(1, 1, 1);
    report_.row("P17", "weir", "weir run of a job of one record", "ms")
        .values.push_back(one.wall_seconds * 1e3);
    report_.row("P17", "weir", "its largest resident memory", "MiB").values.push_back(one.peak_mib);
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
        std::uint64_t rank =
            (std::uint64_t{1} << octave) + (random >> 8) % (std::uint64_t{1} << octave);
        std::string word;
        for (; rank > 0; rank /= 26) word += static_cast<char>('a' + rank % 26);
        line += word + ' ';
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
  Report report_;
  int made_ = 0;
};

int fail(const std::string& what, int code) {
  std::cerr << "weir_bench: " << what << '\n';
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  bool quick = false;
  std::string json_file;
  std::string parent = "/tmp";
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--quick")
      quick = true;
    else if (word == "--json" && i + 1 < argc)
      json_file = argv[++i];
    else if (word == "--directory" && i + 1 < argc)
      parent = argv[++i];
    else
      return fail(
          "unknown option '" + word + "'; the options are --quick, --json FILE and --directory DIR",
          2);
  }
  const std::string self = argv[0];
  std::string directory = parent + "/weir-bench-XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr)
    return fail("cannot make a directory in " + parent + "; choose another with --directory", 1);
  int code = 0;
  Bench bench(self.find('/') == std::string::npos ? "." : self.substr(0, self.rfind('/')),
              directory, quick ? quick_sizes : Sizes{});
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
