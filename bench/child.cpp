#include "bench/child.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <poll.h>
#include <sstream>
#include <stdexcept>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/stopwatch.hpp"

namespace weir::bench {

Finished run_program(const std::vector<std::string>& words) {
  int out[2];
  if (::pipe(out) != 0) throw std::runtime_error("no pipe");
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  Finished finished;
  finished.begin = monotonic_nanoseconds();
  const Stopwatch stopwatch;
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("cannot start " + words[0]);
  if (child == 0) {
    ::dup2(out[1], 1);
    ::close(out[0]);
    ::close(out[1]);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  ::close(out[1]);
  const std::string process = std::to_string(child);
  std::array<char, 4096> buffer{};
  for (bool open = true; open;) {
    pollfd ready{out[0], POLLIN, 0};
    if (::poll(&ready, 1, 5) == 0) {
      // Nothing is left to be read once the process has ended.
      if (const std::uint64_t peak = status_kib(process, "VmHWM"); peak != 0)
        finished.peak_mib = static_cast<double>(peak) / 1024;
      if (const std::uint64_t resident = status_kib(process, "VmRSS"); resident != 0)
        finished.last_mib = static_cast<double>(resident) / 1024;
      continue;
    }
    const ssize_t size = ::read(out[0], buffer.data(), buffer.size());
    open = size > 0;
    if (open) finished.output.append(buffer.data(), static_cast<std::size_t>(size));
  }
  ::close(out[0]);
  int status = 0;
  rusage used{};
  ::wait4(child, &status, 0, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  finished.processor_seconds = seconds(used.ru_utime) + seconds(used.ru_stime);
  finished.seconds = stopwatch.seconds();
  finished.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  if (finished.exit_code == 127) throw std::runtime_error("cannot start " + words[0]);
  return finished;
}

CountReport read_report(const std::string& path) {
  CountReport report;
  std::ifstream in(path);
  std::uint64_t begin = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t end = 0;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string kind;
    std::array<std::uint64_t, 4> n{};
    words >> kind;
    for (std::uint64_t& number : n) words >> number;
    if (kind == "run") {
      ++report.sources;
      begin = std::min(begin, n[0]);
      end = std::max(end, n[1]);
      report.records += n[2];
      report.resident_mib = static_cast<double>(n[3]) / 1024;
    } else if (kind == "first") {
      report.first = report.first == 0 ? n[0] : std::min(report.first, n[0]);
    } else if (kind == "gap") {
      std::uint64_t& gap = report.gaps[n[0]];
      gap = std::max(gap, n[1]);
    } else if (kind == "hash") {
      report.hash += n[0];
      report.keys += n[1];
    }
  }
  if (end > begin) report.seconds = static_cast<double>(end - begin) / 1e9;
  return report;
}

std::map<std::uint64_t, double> checkpoint_durations(const std::string& trace) {
  std::map<std::uint64_t, double> triggered;
  std::map<std::uint64_t, double> durations;
  std::ifstream in(trace);
  for (std::string line; std::getline(in, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object()) continue;
    const std::string message = json.value("message", "");
    const std::uint64_t checkpoint = json.value("checkpoint", std::uint64_t{0});
    const double time = json.value("t", 0.0);
    if (message == "TriggerCheckpoint") triggered.try_emplace(checkpoint, time);
    if (message == "NotifyCheckpointComplete" && triggered.contains(checkpoint))
      durations.try_emplace(checkpoint, time - triggered.at(checkpoint));
  }
  return durations;
}

}  // namespace weir::bench
