package cn.fieldbook.core

import java.nio.file.Files
import java.nio.file.Path
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonPrimitive

/** A vault that lives as long as the test. */
class MemoryVault : KeyVault {
    private val secrets = mutableMapOf<String, ByteArray>()

    override fun load(name: String): ByteArray? = secrets[name]

    override fun store(name: String, secret: ByteArray) {
        secrets[name] = secret
    }

    override fun remove(name: String) {
        secrets.remove(name)
    }
}

/** Keeps what it hears. */
class Listening : SyncListener {
    val heard = mutableListOf<Progress>()

    override fun progress(progress: Progress) {
        heard += progress
    }
}

/** A phone; its folder and its vault outlive it. */
class Phone(private val folder: Path, private val vault: KeyVault = MemoryVault()) : AutoCloseable {
    val book: Fieldbook = Fieldbook.open(Files.createDirectories(folder).toString(), vault, "zh-Hans")

    fun sync(): SyncReport = book.sync(Listening(), CancelHandle())

    fun reopened(): Phone {
        close()
        return Phone(folder, vault)
    }

    override fun close() = book.close()
}

fun text(value: String): String = JsonPrimitive(value).toString()

fun parsed(json: String): JsonElement = Json.parseToJsonElement(json)

/** The question about `path`, which must be asked now. */
fun FormSession.question(path: String): Question = questions().single { it.path == path && it.kind == QuestionKind.FIELD }
