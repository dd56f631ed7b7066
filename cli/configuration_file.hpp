#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "runtime/configuration.hpp"
#include "state/file_system.hpp"

namespace weir {

/// The longest `weir.yaml` that is read.
inline constexpr std::uint64_t max_configuration_bytes = 1 << 20;

/// Where to look for `weir.yaml`; the first that is given decides.
struct ConfigurationSearch {
  std::optional<std::string> file;       ///< `--config FILE`; must exist
  std::optional<std::string> directory;  ///< `$WEIR_CONF_DIR`; must exist, the file in it need not
  std::string working_directory;         ///< absolute; relative paths above begin here
};

/// Reads the settings of `yaml`, which is called `path` in errors. Keys may be written flat
/// (`state.backend: rocksdb`) or nested (`state: {backend: rocksdb}`); values count as written.
/// Errors: `invalid_argument` with path, line and column: no YAML, unknown key, bad value, a key
/// that stands twice (a deprecated name beside its successor too), a list, no value.
[[nodiscard]] Result<Configuration> parse_configuration(std::string_view yaml,
                                                        const std::string& path);

/// Finds `weir.yaml` and reads it; without one, the defaults.
/// Errors: `not_found` for a missing `--config` file or `$WEIR_CONF_DIR`; `io_error`,
/// `limit_exceeded`; and those of `parse_configuration`.
[[nodiscard]] Result<Configuration> load_configuration(FileSystem& files,
                                                       const ConfigurationSearch& search);

}  // namespace weir
