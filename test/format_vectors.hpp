#pragma once

#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

namespace weir::test {

inline std::string hex(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const char byte : bytes) {
    text.push_back(digits[static_cast<unsigned char>(byte) >> 4]);
    text.push_back(digits[static_cast<unsigned char>(byte) & 15]);
  }
  return text;
}

inline std::string unhex(std::string_view text) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16)));
  return bytes;
}

/// Whether `page` in docs/formats shows the bytes of `vector`, hex digits, in a block of their own.
inline bool is_documented(std::string_view vector, const std::string& page = "snapshot.md") {
  std::ifstream file(WEIR_SOURCE_ROOT "/docs/formats/" + page);
  std::stringstream text;
  text << file.rdbuf();
  std::string digits;
  for (const char character : text.str())
    if (character != ' ' && character != '\n') digits.push_back(character);
  return digits.find("```" + std::string(vector) + "```") != std::string::npos;
}

}  // namespace weir::test
