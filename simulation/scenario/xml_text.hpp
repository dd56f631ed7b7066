#pragma once

#include <string>
#include <string_view>

namespace weir {

/// `text`, whatever its bytes, as it can stand in XML between tags and in quotes. What XML has no way to
/// say becomes `?`.
[[nodiscard]] inline std::string xml_text(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      switch (text[i]) {
        case '&':
          result += "&amp;";
          break;
        case '<':
          result += "&lt;";
          break;
        case '>':
          result += "&gt;";
          break;
        case '"':
          result += "&quot;";
          break;
        case '\n':
          result += "&#10;";
          break;
        default:
          result += byte < 0x20 && text[i] != '\t' ? '?' : text[i];
      }
      ++i;
      continue;
    }
    // A whole sequence of UTF-8, or it is replaced.
    const std::size_t length = byte >= 0xF0 && byte < 0xF5 ? 4
                               : byte >= 0xE0              ? 3
                               : byte >= 0xC2              ? 2
                                                           : 0;
    bool whole = length != 0 && byte < 0xF5 && i + length <= text.size();
    for (std::size_t k = 1; whole && k < length; ++k)
      whole = (static_cast<unsigned char>(text[i + k]) & 0xC0) == 0x80;
    result += whole ? std::string(text.substr(i, length)) : "?";
    i += whole ? length : 1;
  }
  return result;
}

}  // namespace weir
