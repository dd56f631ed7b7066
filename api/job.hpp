#pragma once

#include <cstdint>

#include "api/headers_hash.hpp"
#include "api/stream_environment.hpp"

namespace weir {

/// Of the descriptor itself: goes up when a member of it changes.
inline constexpr std::uint32_t job_abi_version = 2;

/// What a job library exports under the name `weir_job_descriptor`. Everything before `name` is checked
/// in the file, before any code of the library is loaded; the first two members never change.
struct JobDescriptor {
  char magic[8] = {'W', 'E', 'I', 'R', 'J', 'O', 'B', '\0'};
  std::uint32_t abi_version = job_abi_version;
  /// A job shares inline code and the layout of objects with the library that runs it, so both must
  /// have been built from the same headers.
  std::uint64_t headers = headers_hash;
  char compiler[64] = __VERSION__;
  const char* name = nullptr;
  void (*entry)(StreamEnvironment& env) = nullptr;
};

/// The `main` of a program with one job in it: the `weir run` command with that job. Options of
/// `weir run` stand before `--`, the job's arguments behind it. Returns the exit code.
int run_job_program(int argc, char** argv, const JobDescriptor& job);

}  // namespace weir

/// Registers a job: a function of its arguments and of nothing else. It runs in every process that
/// takes part in the job, on several hosts, and must put together the same plan in each; a value that
/// it captures from elsewhere (a file, the environment, the time) differs between hosts unnoticed.
///
///   WEIR_JOB(word_count) {
///     const auto input = env.parameters().all("input");
///     env.read_text(input)
///         .flat_map<std::string>(split)
///         .key_by([](const std::string& word) { return word; })
///         .map_with_state<long>([](const std::string& word, long& count) { return Word{word, ++count}; })
///         .print();
///   }
///
/// The source builds as a program (it then takes the options of `weir run`, and the job's behind `--`)
/// and, with `-shared`, as a library for `weir run`. One job per program or library.
/// `env` is the `StreamEnvironment`. The name is also that of a function, `void word_count(weir::StreamEnvironment&)`,
/// which tests are given (`weir/testing.hpp`); to be linked into a program with a `main` of its own, compile
/// with `-DWEIR_NO_MAIN`.
#define WEIR_JOB(job_name)                                                                \
  void job_name(::weir::StreamEnvironment& env);                                          \
  extern "C" __attribute__((visibility("default")))                                       \
  const ::weir::JobDescriptor weir_job_descriptor{.name = #job_name, .entry = &job_name}; \
  WEIR_JOB_MAIN                                                                           \
  void job_name([[maybe_unused]] ::weir::StreamEnvironment& env)

#ifdef WEIR_NO_MAIN
#define WEIR_JOB_MAIN
#else
#define WEIR_JOB_MAIN                                                \
  __attribute__((weak)) int main(int argc, char** argv) {            \
    return ::weir::run_job_program(argc, argv, weir_job_descriptor); \
  }
#endif
