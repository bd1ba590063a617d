// SPDX-License-Identifier: LGPL-2.1-or-later
// A C++ program outside the project: shares one chunk and reads it back, through the C++ header.
#include <speculo/speculo.hpp>

#include <cstring>
#include <iostream>

int main(int argc, char **argv) {
    if (argc != 2) { return 2; }
    bool found = false;
    {
        speculo::writer writer(argv[1]);
        std::memcpy(writer.alloc(5).data(), "hello", 5);
        writer.commit();
        speculo::reader reader(argv[1]);
        if (auto chunk = reader.next()) {
            std::cout << speculo::version() << ' ' << chunk->text() << '\n';
            found = chunk->text() == "hello";
        }
    }
    speculo::remove(argv[1]);
    return found ? 0 : 1;
}
