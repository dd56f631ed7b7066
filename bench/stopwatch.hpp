#pragma once

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

namespace weir::bench {

class Stopwatch {
 public:
  [[nodiscard]] double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
  }

 private:
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

/// Of a clock that all processes of a machine share.
[[nodiscard]] inline std::uint64_t monotonic_nanoseconds() {
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch() /
                                    std::chrono::nanoseconds(1));
}

/// A field of /proc/`process`/status, such as `VmRSS` or `VmHWM`; 0 if the process has ended. (What `wait4` says
/// of a child counts what its parent occupied before the child's exec.)
[[nodiscard]] inline std::uint64_t status_kib(const std::string& process, const char* field) {
  std::ifstream in("/proc/" + process + "/status");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(field))
      return std::strtoull(line.c_str() + std::strlen(field) + 1, nullptr, 10);
  return 0;
}

/// Keeps a result alive that nobody reads.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

}  // namespace weir::bench
