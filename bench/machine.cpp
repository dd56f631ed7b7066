#include "bench/machine.hpp"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <memory>
#include <string_view>
#include <thread>
#include <unistd.h>

#include "bench/by_hand.hpp"
#include "bench/stopwatch.hpp"

namespace weir::bench {

namespace {

constexpr std::uint64_t keys_of_loop = 1'000'000;
constexpr double least_scaling = 1.6;
constexpr double most_deviation = 0.15;
constexpr double most_others = 0.5;

/// Rounds of arithmetic a second that `threads` reach together.
double arithmetic(unsigned threads) {
  constexpr std::uint64_t rounds = 30'000'000;
  std::atomic<unsigned> ready{0};
  std::vector<double> seconds(threads);
  const auto work = [&](unsigned i) {
    ++ready;
    while (ready < threads) {
    }
    const Stopwatch stopwatch;
    std::uint64_t x = 88172645463325252ULL + i;
    for (std::uint64_t round = 0; round < rounds; ++round) {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
    }
    keep(x);
    seconds[i] = stopwatch.seconds();
  };
  std::vector<std::thread> others;
  for (unsigned i = 1; i < threads; ++i) others.emplace_back(work, i);
  work(0);
  for (std::thread& other : others) other.join();
  return static_cast<double>(rounds * threads) / *std::ranges::max_element(seconds);
}

double scaling() { return arithmetic(2) / arithmetic(1); }

/// GB a second.
double copy_bandwidth() {
  constexpr std::size_t bytes = std::size_t{256} << 20;
  const std::vector<char> from(bytes, 'x');
  std::vector<char> to(bytes, 'y');
  const Stopwatch stopwatch;
  std::memcpy(to.data(), from.data(), bytes);
  keep(to[bytes / 2]);
  return static_cast<double>(bytes) / stopwatch.seconds() / 1e9;
}

/// How many threads of others want a processor, on average over a twentieth of a second.
double others_running() {
  constexpr int looks = 10;
  double running = 0;
  for (int i = 0; i < looks; ++i) {
    std::ifstream stat("/proc/stat");
    for (std::string line; std::getline(stat, line);)
      if (constexpr std::string_view name = "procs_running "; line.starts_with(name))
        running += std::strtod(line.c_str() + name.size(), nullptr) - 1;  // without this one
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return running / looks;
}

}  // namespace

double write_bandwidth(const std::string& path, std::uint64_t bytes, bool direct) {
  constexpr std::size_t block_bytes = std::size_t{4} << 20;
  const std::unique_ptr<void, decltype(&std::free)> block(std::aligned_alloc(4096, block_bytes),
                                                          &std::free);
  std::memset(block.get(), 'x', block_bytes);
  const int file = ::open(path.c_str(),
                          O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | (direct ? O_DIRECT : 0), 0600);
  if (file < 0) return 0;
  const std::uint64_t blocks = std::max<std::uint64_t>(1, bytes / block_bytes);
  const Stopwatch stopwatch;
  bool failed = false;
  for (std::uint64_t i = 0; i < blocks && !failed; ++i)
    failed = ::write(file, block.get(), block_bytes) != static_cast<ssize_t>(block_bytes);
  failed = ::fdatasync(file) != 0 || failed;
  const double seconds = stopwatch.seconds();
  ::close(file);
  ::unlink(path.c_str());
  return failed ? 0 : static_cast<double>(blocks * block_bytes) / seconds;
}

void Machine::measure() {
  report_.add_machine("two threads beside one", "x", scaling());
  report_.add_machine("memory copied", "GB/s", copy_bandwidth());
  const std::uint64_t records = keys_.size();
  for (const auto& [name, distance] :
       {std::pair{"count by hand, plain", 0}, std::pair{"count by hand, prefetching", 24}}) {
    const auto counted =
        count_by_hand(keys_, keys_of_loop, records, records, static_cast<std::size_t>(distance));
    report_.add_machine(name, "M records/s", static_cast<double>(records) / counted.seconds / 1e6);
  }
  constexpr std::uint64_t disk_bytes = std::uint64_t{256} << 20;
  report_.add_machine("disk written directly", "MB/s",
                      write_bandwidth(directory_ + "/direct", disk_bytes, true) / 1e6);
  report_.add_machine("disk written through the page cache", "MB/s",
                      write_bandwidth(directory_ + "/buffered", disk_bytes, false) / 1e6);
}

bool Machine::is_quiet() {
  const double two_threads = scaling();
  const std::uint64_t records = keys_.size() / 2;
  const double count = static_cast<double>(records) /
                       count_by_hand(keys_, keys_of_loop, records, records, 24).seconds / 1e6;
  report_.add_machine("two threads beside one, before each block", "x", two_threads);
  report_.add_machine("count by hand, before each block", "M records/s", count);
  const double others = others_running();
  report_.add_machine("threads of others that want a processor", "threads", others);
  best_count_ = std::max(best_count_, count);
  return others <= most_others && two_threads >= least_scaling &&
         count >= (1 - most_deviation) * best_count_;
}

void Machine::begin_block() {
  bool quiet = is_quiet();
  for (int i = 1; i < tries_ && !quiet; ++i) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    quiet = is_quiet();
  }
  report_.set_disturbed(!quiet);

  double load = 0;
  std::ifstream("/proc/loadavg") >> load;
  report_.add_machine("load average", "processes", load);
  // The first line of /proc/stat: "cpu", then ticks by kind; the eighth kind is what the host took.
  std::ifstream stat("/proc/stat");
  std::string word;
  stat >> word;
  std::uint64_t all = 0;
  std::uint64_t stolen = 0;
  for (std::uint64_t i = 0, ticks = 0; i < 8 && stat >> ticks; ++i) {
    all += ticks;
    if (i == 7) stolen = ticks;
  }
  if (ticks_ != 0 && all > ticks_)
    report_.add_machine(
        "time stolen by the host", "%",
        100 * static_cast<double>(stolen - steal_) / static_cast<double>(all - ticks_));
  steal_ = stolen;
  ticks_ = all;
}

}  // namespace weir::bench
