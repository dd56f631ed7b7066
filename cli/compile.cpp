#include "cli/compile.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sstream>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

#include <boost/filesystem.hpp>

#include "cli/elf_file.hpp"
#include "cli/signals.hpp"
#include "storage/posix_file_system.hpp"

extern char** environ;

namespace weir {
namespace {

namespace fs = boost::filesystem;

/// Separated by blanks; cli/meson.build says why each of them.
#ifndef WEIR_COMPILE_FLAGS
#define WEIR_COMPILE_FLAGS "-std=c++23 -O2 -fPIC"
#endif
/// Below a build directory; the compiler uses what is precompiled there only if it fits.
constexpr const char* precompiled_directory = "/cli/precompiled";
/// Below a build directory and a prefix: copies of the headers that the library was built with. Those of
/// the source tree may have been edited since.
constexpr const char* headers_directory = "include/weir";

constexpr std::array<std::string_view, 5> source_endings{".cpp", ".cc", ".cxx", ".c++", ".C"};

/// A library or a source is read as a whole.
constexpr std::uint64_t max_file_bytes = std::uint64_t{1} << 30;

bool is_there(const fs::path& path) {
  boost::system::error_code failed;
  return fs::exists(path, failed);
}

bool has_headers(const fs::path& directory) { return is_there(directory / "api/weir/weir.hpp"); }
bool has_library(const fs::path& directory) { return is_there(directory / "libweir.so"); }

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

/// `job.cpp` → `job.so`, beside it.
std::string default_output(const std::string& source) {
  return fs::path(source).replace_extension(".so").string();
}

std::string output_of(const CompileCommand& command) {
  return command.output.empty() ? default_output(command.sources.front()) : command.output;
}

/// Runs `command` and waits for its end. It is a process group of its own, because a compiler is several
/// processes, all of which end when this one is told to. Errors: `not_found`, `io_error`.
Result<bool> run_command(const std::vector<std::string>& command) {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  // No signal comes between the start and the note of whom it ends.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, &before);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setsigmask(&attributes, &before);
  pid_t process = 0;
  const int failed =
      ::posix_spawnp(&process, words[0], nullptr, &attributes, words.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  if (failed == 0) set_companions(process);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (failed != 0)
    return error(failed == ENOENT ? Errc::not_found : Errc::io_error,
                 "cannot run the compiler '" + command[0] +
                     "': " + std::generic_category().message(failed) +
                     "; install g++ or set CXX to a compiler of the same version");
  // Its id is free for others once it has been waited for.
  siginfo_t ended{};
  while (::waitid(P_PID, static_cast<id_t>(process), &ended, WEXITED | WNOWAIT) < 0 &&
         errno == EINTR)
    continue;
  set_companions(0);
  int status = 0;
  while (::waitpid(process, &status, 0) < 0 && errno == EINTR) continue;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

std::string running_library_directory() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&running_library_directory), &info) == 0 ||
      info.dli_fname == nullptr)
    return {};
  boost::system::error_code failed;
  const fs::path path = fs::canonical(info.dli_fname, failed);
  return failed ? std::string() : path.parent_path().string();
}

Result<Installation> find_installation(const std::optional<std::string>& home,
                                       const std::string& library_directory) {
  std::vector<fs::path> roots;
  if (home) {
    roots = {*home / fs::path("build") / headers_directory, *home / fs::path(headers_directory)};
  } else {
    const fs::path library(library_directory);
    roots = {library / headers_directory, library.parent_path() / headers_directory,
             library.parent_path().parent_path() / headers_directory};
  }
  std::string looked_in;
  for (const fs::path& root : roots) {
    if (root.empty()) continue;
    if (has_headers(root)) {
      std::vector<fs::path> libraries{library_directory};
      if (home) libraries = {fs::path(*home) / "build", fs::path(*home) / "lib", library_directory};
      for (const fs::path& directory : libraries)
        if (has_library(directory)) return Installation{root.string(), directory.string()};
      return error(Errc::not_found, "there is no libweir.so in " + libraries.front().string() +
                                        "; build Weir with `./dev build`, or set WEIR_HOME");
    }
    looked_in += (looked_in.empty() ? "" : ", ") + root.string();
  }
  return error(Errc::not_found, "the headers of Weir are not found (looked in " + looked_in +
                                    "); set WEIR_HOME to the source tree or to the prefix of the "
                                    "installation");
}

std::vector<std::string> compiler_command(const std::string& compiler,
                                          const Installation& installation,
                                          const CompileCommand& command) {
  const std::string output = output_of(command);
  std::vector<std::string> words{compiler};
  std::istringstream flags(WEIR_COMPILE_FLAGS);
  for (std::string flag; flags >> flag;) words.push_back(flag);
  if (output.ends_with(".so")) words.push_back("-shared");
  words.insert(words.end(),
               {"-I" + installation.library_directory + precompiled_directory, "-isystem",
                installation.include_directory, "-isystem", installation.include_directory + "/api",
                "-isystem", installation.include_directory + "/simulation"});
  words.insert(words.end(), command.sources.begin(), command.sources.end());
  words.insert(words.end(), {"-o", output});
  words.insert(words.end(), {"-L" + installation.library_directory, "-lweir",
                             "-Wl,-rpath," + installation.library_directory, "-Wl,--no-undefined"});
  words.insert(words.end(), command.flags.begin(), command.flags.end());
  return words;
}

/// The compiler would take half a minute to say so, and the source would be blamed.
Status check_output(const std::string& output) {
  const std::string mend = "; name another output with -o";
  const fs::path path(output);
  boost::system::error_code ignored;
  if (fs::is_directory(path, ignored))
    return error(Errc::unsupported, output + ": this is a directory" + mend);
  if (is_there(path)) return {};  // it is replaced
  const int file = ::open(output.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0)
    return error(Errc::io_error,
                 output + ": cannot be written: " + std::generic_category().message(errno) + mend);
  ::close(file);
  ::unlink(output.c_str());
  return {};
}

/// What the compiler or the linker would tell in words of their own.
Status check_source(const std::string& source) {
  const fs::path path(source);
  boost::system::error_code failed;
  if (!is_there(path))
    return error(
        Errc::not_found,
        source + ": there is no such file; give the path of a C++ source, such as job.cpp");
  const std::string ending = path.extension().string();
  if (fs::is_directory(path, failed) ||
      std::ranges::find(source_endings, ending) == source_endings.end())
    return error(Errc::unsupported, source +
                                        ": this is no C++ source; give a file whose name ends in "
                                        ".cpp, .cc, .cxx, .c++ or .C (what else is to be linked "
                                        "stands behind --)");
  return {};
}

Result<std::string> read_whole(const std::string& path) {
  PosixFileSystem files;
  return read_file(files, path, max_file_bytes);
}

/// Whether any source speaks of WEIR_JOB, or is the test of a job that it may include; true if that cannot be told.
bool mention_job(const std::vector<std::string>& sources) {
  return std::ranges::any_of(sources, [](const std::string& source) {
    const auto text = read_whole(source);
    return !text || text->find("WEIR_JOB") != std::string::npos ||
           text->find("weir/testing.hpp") != std::string::npos;
  });
}

Result<bool> compile_job(const CompileCommand& command) {
  for (const std::string& source : command.sources) WEIR_TRY(check_source(source));
  const std::string output = output_of(command);
  WEIR_TRY(check_output(output));
  WEIR_TRY_ASSIGN(installation,
                  find_installation(environment("WEIR_HOME"), running_library_directory()));
  const auto words = compiler_command(environment("CXX").value_or("g++"), installation, command);
  if (command.verbose) {
    std::string line;
    for (const std::string& word : words) line += (line.empty() ? "" : " ") + word;
    std::fprintf(stderr, "%s\n", line.c_str());
  }
  WEIR_TRY_ASSIGN(compiled, run_command(words));
  const std::string no_job =
      ": no job is registered; write `WEIR_JOB(name) { ... }`, and compile it again";
  if (!compiled) {
    if (output.ends_with(".so") || mention_job(command.sources)) return false;
    return error(Errc::user_function_failed, command.sources.front() + no_job);
  }
  if (!output.ends_with(".so")) return true;
  WEIR_TRY_ASSIGN(library, read_whole(output));
  if (has_job_descriptor(library)) return true;
  ::unlink(output.c_str());
  return error(Errc::user_function_failed, command.sources.front() + no_job);
}

}  // namespace weir
