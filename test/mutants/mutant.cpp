#include "test/mutants/mutant.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <mutex>
#include <set>
#include <string>
#include <unistd.h>
#include <unordered_set>

#include "test/mutants/mutant_names.hpp"  // made by build.py

namespace weir::mutant {
namespace {

constexpr int usage_exit_code = 2;

std::string_view variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// The mutant that is on; empty: none.
std::string_view chosen() {
  const std::string_view name = variable("WEIR_MUTANT");
  if (name.empty() || std::ranges::find(names, name) != names.end()) return name;
  std::fprintf(stderr, "WEIR_MUTANT: '%.*s' is no mutant of test/mutants/mutants.toml\n",
               static_cast<int>(name.size()), name.data());
  std::_Exit(usage_exit_code);
}

/// Appends each mutant whose line is reached to the file that WEIR_MUTANTS_REACHED names, once in a process: a test that
/// does not reach a mutant need not be run with it.
class Reached {
 public:
  Reached() {
    const std::string path(variable("WEIR_MUTANTS_REACHED"));
    if (!path.empty())
      file_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  }
  void note(std::string_view name) {
    if (file_ < 0) return;
    // Some are reached with every record.
    thread_local std::unordered_set<const char*> noted_here;
    if (!noted_here.insert(name.data()).second) return;
    const std::scoped_lock lock(mutex_);
    if (!noted_.insert(name).second) return;
    const std::string line = std::string(name) + "\n";
    if (::write(file_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::abort();
  }

 private:
  int file_ = -1;
  std::mutex mutex_;  // guards `noted_`
  std::set<std::string_view> noted_;
};

}  // namespace

bool on(std::string_view name) {
  static const std::string_view is_on = chosen();
  static Reached reached;
  reached.note(name);
  return name == is_on;
}

}  // namespace weir::mutant
