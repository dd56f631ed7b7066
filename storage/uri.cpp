#include "storage/uri.hpp"

#include <algorithm>
#include <cctype>

#include <boost/filesystem.hpp>

namespace weir {
namespace {

/// The scheme of `text` in lower case, empty if it is a plain path.
std::string scheme_of(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) return {};
  std::string scheme(text.substr(0, colon));
  const auto is_allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '+' || c == '-' || c == '.';
  };
  if (std::isalpha(static_cast<unsigned char>(scheme[0])) == 0 ||
      !std::ranges::all_of(scheme, is_allowed))
    return {};
  std::ranges::transform(scheme, scheme.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  // `file:/path` is common; any other colon without slashes may stand in a plain name.
  const std::string_view rest = text.substr(colon + 1);
  return rest.starts_with("//") || (scheme == "file" && rest.starts_with("/")) ? scheme
                                                                               : std::string();
}

}  // namespace

Result<std::string> parse_path(std::string_view setting, std::string_view working_directory) {
  const auto invalid = [&](const std::string& reason) {
    return error(Errc::invalid_argument, "'" + std::string(setting) + "': " + reason);
  };
  if (setting.empty()) return invalid("a path is needed, this is empty");
  if (setting.find('\0') != std::string_view::npos) return invalid("a path cannot contain NUL");
  const std::string scheme = scheme_of(setting);
  std::string_view path = setting;
  if (scheme == "file") {
    path.remove_prefix(path.find(':') + 1);
    if (path.starts_with("//")) {
      path.remove_prefix(2);
      if (path.starts_with("localhost/")) path.remove_prefix(std::string_view("localhost").size());
      if (!path.starts_with('/'))
        return invalid("a file URI has three slashes and no host, as in file:///var/weir");
    }
  } else if (!scheme.empty()) {
    return error(Errc::unsupported,
                 "'" + std::string(setting) + "': " + scheme +
                     ":// is not supported yet; use a path of this machine, such as /var/weir "
                     "or file:///var/weir");
  }
  namespace fs = boost::filesystem;
  const fs::path given{std::string(path)};
  const fs::path absolute =
      given.is_absolute() ? given : fs::path(std::string(working_directory)) / given;
  std::string result = absolute.lexically_normal().string();
  if (result.ends_with("/.")) result.pop_back();
  while (result.size() > 1 && result.ends_with('/')) result.pop_back();
  return result;
}

}  // namespace weir
