#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

#include "state/fields.hpp"

namespace weir {

/// What kind of failure an `Error` is. The command line maps it to an exit code; programs compare it;
/// people read `Error::what`.
enum class Errc : std::uint8_t {
  invalid_argument,      ///< a value that can be known to be wrong before anything is opened
  not_found,             ///< a file, directory, job, operator or entry is missing
  already_exists,        ///< something is there that must not be replaced
  io_error,              ///< the operating system or a database refused
  corruption,            ///< bytes that do not verify
  unsupported,           ///< a newer version, or a scheme that is not built in
  limit_exceeded,        ///< a size, count or budget with a name is exhausted
  checkpoint_declined,   ///< a snapshot was refused or given up; daily business
  state_incompatible,    ///< restored state does not fit the job
  user_function_failed,  ///< a function of the job threw
  cancelled,             ///< given up on request
  unavailable,           ///< the other side is gone or not there yet
  timed_out,             ///< no answer within the limit
  stale,                 ///< fenced: belongs to an older leader epoch or attempt
};

/// One failure: its kind, and one sentence that says what, where and what to do.
struct Error {
  Errc code = Errc::io_error;
  std::string what;
  bool operator==(const Error&) const = default;
};
WEIR_FIELDS(Error, code, what)

/// A value or an `Error`. What the outside world can cause is a `Result`; what only a defect of Weir
/// can cause is `WEIR_ASSERT`.
template <class T>
using Result = std::expected<T, Error>;
/// A `Result` without a value.
using Status = Result<void>;

/// Shorthand for returning a failure: `return error(Errc::not_found, path + ": no such file");`
[[nodiscard]] inline std::unexpected<Error> error(Errc code, std::string what) {
  return std::unexpected(Error{code, std::move(what)});
}

/// The name of `code` as logs and `--json` show it, such as `not_found`.
[[nodiscard]] std::string_view to_string(Errc code);

/// Prints the condition with its place and ends the process; release builds too.
[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);

}  // namespace weir

#define WEIR_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::weir::assertion_failed(#condition, __FILE__, __LINE__))

#define WEIR_CONCAT_INNER(a, b) a##b
#define WEIR_CONCAT(a, b) WEIR_CONCAT_INNER(a, b)
/// Returns the error of a `Status` expression to the caller, if it has one.
#define WEIR_TRY(expression)                         \
  if (auto weir_status = (expression); !weir_status) \
  return std::unexpected(std::move(weir_status.error()))
/// Declares `variable` with the value of a `Result` expression, or returns its error to the caller.
#define WEIR_TRY_ASSIGN(variable, expression)                                       \
  auto WEIR_CONCAT(weir_result_, __LINE__) = (expression);                          \
  if (!WEIR_CONCAT(weir_result_, __LINE__))                                         \
    return std::unexpected(std::move(WEIR_CONCAT(weir_result_, __LINE__).error())); \
  auto variable = std::move(*WEIR_CONCAT(weir_result_, __LINE__))
