// Measures Weir beside hand-written single-threaded loops that do the same work, in turn, in one run.
//
//   weir_bench [--quick] [--json FILE]        (./dev bench calls it)
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <unordered_map>
#include <vector>

#include <nlohmann/json.hpp>

#include "bench/keyed_count.hpp"
#include "state/key_groups.hpp"

namespace {

using Json = nlohmann::ordered_json;
using SteadyClock = std::chrono::steady_clock;

/// Keeps a result alive that nobody reads.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

double seconds(const std::function<void()>& work) {
  const auto begin = SteadyClock::now();
  work();
  return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

// ---- hand-written loops ----------------------------------------------------------------------------

/// Open addressing in one flat table, with prefetching: what a specialist would write for this one job.
double count_by_hand(std::uint64_t records, std::uint64_t keys) {
  struct Slot {
    std::uint64_t key;
    std::uint64_t count;
  };
  std::uint64_t capacity = 1;
  while (capacity * 7 / 10 < keys) capacity *= 2;
  std::vector<Slot> table(capacity);
  constexpr std::size_t block = 1024;
  constexpr std::size_t distance = 24;
  std::array<std::uint64_t, block> key{};
  std::array<std::uint64_t, block> slot{};
  return seconds([&] {
    for (std::uint64_t begin = 0; begin < records; begin += block) {
      const std::size_t size = std::min<std::uint64_t>(block, records - begin);
      for (std::size_t i = 0; i < size; ++i) {
        key[i] = weir::bench::record(begin + i, keys).key;
        slot[i] = weir::hash_key(key[i]) & (capacity - 1);
      }
      for (std::size_t i = 0; i < size; ++i) {
        if (i + distance < size) __builtin_prefetch(&table[slot[i + distance]], 1);
        std::uint64_t at = slot[i];
        while (table[at].key != 0 && table[at].key != key[i]) at = (at + 1) & (capacity - 1);
        table[at].key = key[i];
        ++table[at].count;
      }
    }
    keep(table[0].count);
  });
}

/// Reads the text line by line and counts lowercased words in a hash map.
double count_words_by_hand(const std::string& path) {
  return seconds([&] {
    std::ifstream in(path, std::ios::binary);
    std::unordered_map<std::string, std::int64_t> counts;
    std::string line;
    std::string word;
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    while (std::getline(in, line)) {
      for (const char c : line) {
        if (is_letter(c)) {
          word += static_cast<char>(c | 0x20);
        } else if (!word.empty()) {
          ++counts[word];
          word.clear();
        }
      }
      if (!word.empty()) ++counts[word];
      word.clear();
    }
    keep(counts.size());
  });
}

// ---- Weir ------------------------------------------------------------------------------------------

struct Paths {
  std::string directory;  ///< of this program; the command and the jobs lie around it
  [[nodiscard]] std::string weir() const { return directory + "/../weir"; }
};

/// Runs `weir run --json ...` and returns how long the job took, as it says itself.
std::optional<double> run_weir(const Paths& paths, const std::string& arguments) {
  const std::string command = paths.weir() + " run --json " + arguments;
  FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return std::nullopt;
  std::string output;
  std::array<char, 4096> buffer{};
  while (const std::size_t size = std::fread(buffer.data(), 1, buffer.size(), pipe))
    output.append(buffer.data(), size);
  if (::pclose(pipe) != 0) return std::nullopt;
  const auto result = Json::parse(output, nullptr, false);
  if (!result.is_object() || result.value("state", "") != "FINISHED") return std::nullopt;
  return result.at("duration_ms").get<double>() / 1000.0;
}

// ---- report ----------------------------------------------------------------------------------------

struct Series {
  std::string id;
  std::string system;
  std::string variant;
  std::string unit;
  std::vector<double> values;
  [[nodiscard]] double median() const {
    auto sorted = values;
    std::ranges::sort(sorted);
    return sorted[sorted.size() / 2];
  }
};

/// Text whose words follow Zipf's law, so that it can be made anew on any machine.
void write_text(const std::string& path, std::size_t bytes) {
  std::ofstream out(path, std::ios::binary);
  std::uint64_t number = 0;
  std::size_t written = 0;
  while (written < bytes) {
    std::string line;
    for (int i = 0; i < 10; ++i) {
      // An even share of ranks per octave is the law's discrete form.
      const std::uint64_t random = weir::bench::record(number++, ~std::uint64_t{0} >> 1).key;
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
}

std::string cpu_model() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

int fail(const std::string& what) {
  std::cerr << "weir_bench: " << what << '\n';
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  bool quick = false;
  std::string json_file;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--quick")
      quick = true;
    else if (word == "--json" && i + 1 < argc)
      json_file = argv[++i];
    else
      return fail("unknown option '" + word + "'; the options are --quick and --json FILE"), 2;
  }
  const std::string self = std::string(argv[0]);
  const Paths paths{self.find('/') == std::string::npos ? "." : self.substr(0, self.rfind('/'))};
  const int repetitions = quick ? 3 : 5;
  const std::uint64_t records = quick ? 10'000'000 : 40'000'000;
  constexpr std::uint64_t keys = 1'000'000;
  const std::size_t text_bytes = quick ? 20'000'000 : 80'000'000;

  std::string work = "/tmp/weir-bench-XXXXXX";
  if (::mkdtemp(work.data()) == nullptr) return fail("cannot make a directory in /tmp");
  const std::string text = work + "/text.txt";
  write_text(text, text_bytes);

  Series hand{"P1", "by hand", "1 M keys, one thread, prefetch", "M records/s", {}};
  std::vector<Series> counts;
  for (const char* parallelism : {"1", "2"})
    counts.push_back(
        {"P1", "weir", "1 M keys, memory, -p " + std::string(parallelism), "M records/s", {}});
  Series rocksdb{"P1", "weir", "1 M keys, rocksdb, -p 1", "M records/s", {}};
  Series words_by_hand{"words", "by hand", "one thread", "MB/s", {}};
  std::vector<Series> words;
  for (const char* parallelism : {"1", "2"})
    words.push_back({"words", "weir", "memory, -p " + std::string(parallelism), "MB/s", {}});

  // In turn, so that a change of the machine's speed meets all of them.
  for (int repetition = 0; repetition < repetitions; ++repetition) {
    hand.values.push_back(static_cast<double>(records) / count_by_hand(records, keys) / 1e6);
    words_by_hand.values.push_back(static_cast<double>(text_bytes) / count_words_by_hand(text) /
                                   1e6);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const std::string p = std::to_string(i + 1);
      const auto counted =
          run_weir(paths, "-p " + p + " " + paths.directory + "/keyed_count.so --records " +
                              std::to_string(records) + " --keys " + std::to_string(keys));
      const auto output = work + "/out-" + std::to_string(repetition) + "-" + p;
      const auto worded =
          run_weir(paths, "-p " + p + " " + paths.directory +
                              "/../examples/word_count.so --input " + text + " --output " + output);
      if (!counted || !worded)
        return fail("a job did not finish; run it by hand: " + paths.weir() + " run ...");
      counts[i].values.push_back(static_cast<double>(records) / *counted / 1e6);
      words[i].values.push_back(static_cast<double>(text_bytes) / *worded / 1e6);
    }
    const auto counted = run_weir(
        paths, "-p 1 -D state.backend=rocksdb " + paths.directory + "/keyed_count.so --records " +
                   std::to_string(records) + " --keys " + std::to_string(keys));
    if (!counted) return fail("a job did not finish; run it by hand: " + paths.weir() + " run ...");
    rocksdb.values.push_back(static_cast<double>(records) / *counted / 1e6);
    std::fprintf(stderr, "\rrepetition %d of %d", repetition + 1, repetitions);
  }
  std::fprintf(stderr, "\r%*s\r", 40, "");
  (void)std::system(("rm -rf '" + work + "'").c_str());

  std::vector<Series> rows{hand};
  rows.insert(rows.end(), counts.begin(), counts.end());
  rows.push_back(rocksdb);
  rows.push_back(words_by_hand);
  rows.insert(rows.end(), words.begin(), words.end());
  Json report;
  report["machine"] = {{"cpu", cpu_model()}, {"processors", std::thread::hardware_concurrency()}};
  std::printf("%-6s %-8s %-32s %10s %10s %10s  %-12s %s\n", "id", "system", "variant", "median",
              "min", "max", "unit", "to by hand");
  for (const Series& row : rows) {
    const double by_hand = (row.id == "P1" ? hand : words_by_hand).median();
    const auto [low, high] = std::ranges::minmax(row.values);
    std::printf("%-6s %-8s %-32s %10.1f %10.1f %10.1f  %-12s %.2f\n", row.id.c_str(),
                row.system.c_str(), row.variant.c_str(), row.median(), low, high, row.unit.c_str(),
                row.median() / by_hand);
    report["rows"].push_back({{"id", row.id},
                              {"system", row.system},
                              {"variant", row.variant},
                              {"unit", row.unit},
                              {"median", row.median()},
                              {"min", low},
                              {"max", high},
                              {"values", row.values},
                              {"ratio_cost", row.median() / by_hand}});
  }
  if (!json_file.empty()) {
    std::ofstream out(json_file);
    out << report.dump(2) << '\n';
    if (!out) return fail("cannot write " + json_file);
  }
  return 0;
}
