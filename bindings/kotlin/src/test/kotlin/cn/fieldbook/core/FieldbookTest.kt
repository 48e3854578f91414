package cn.fieldbook.core

import java.nio.file.Path
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.jupiter.api.AfterEach
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir

private const val NARRATIVE = "situation/narrative"
private const val HOUSEHOLD = "0192f0c1-2222-4333-8444-555566667777"

/** The generated Kotlin against a real server: what the app's screens will do. */
class FieldbookTest {
    private lateinit var folder: Path
    private lateinit var server: Server

    @BeforeEach
    fun startServer(@TempDir temporary: Path) {
        // A library that does not fit the generated file is named here instead of crashing later.
        uniffiEnsureInitialized()
        folder = temporary
        server = Server(folder.resolve("server"))
        server.administer("unit", "add", "632323", "泽库县总工会")
        server.administer("unit", "add", "632323100", "泽曲镇工会", "--parent", "632323")
        for ((name, login) in listOf("多杰" to "duojie", "马秀英" to "maxiuying")) {
            server.administer("user", "add", name, "--unit", "632323100", "--role", "field", "--login", login)
        }
        server.start()
    }

    @AfterEach
    fun stopServer() = server.close()

    private fun phone(name: String, user: String): Phone {
        val phone = Phone(folder.resolve(name))
        phone.book.enrol(server.link(user), name)
        phone.sync()
        return phone
    }

    /** A visit that its form finds nothing wrong with. */
    private fun savedVisit(phone: Phone, narrative: String): String =
        phone.book.openForm("visit").use { form ->
            form.set("about/household", text(HOUSEHOLD))
            form.set("about/head_name", text("才让卓玛"))
            form.set("when/type", text("routine"))
            form.set("situation/changes", """["income"]""")
            form.set(NARRATIVE, text(narrative))
            form.save().record
        }

    private fun edited(phone: Phone, record: String, narrative: String) =
        phone.book.openForm("visit", record).use { form ->
            form.set(NARRATIVE, text(narrative))
            assertNotNull(form.save().change)
        }

    private fun narrative(record: Record): String =
        parsed(record.values).jsonObject.getValue("situation").jsonObject.getValue("narrative").jsonPrimitive.content

    @Test
    fun `a visit is filled in through the form session`() {
        phone("filling", "duojie").use { phone ->
            assertEquals("泽曲镇工会", phone.book.status().enrolment?.unitName)
            assertTrue(phone.book.kinds().any { it.kind == "visit" && it.title == "走访记录" })

            val form = phone.book.openForm("visit")
            val asked = form.questions().filter { it.kind == QuestionKind.FIELD }.map { it.path }
            val expected = listOf("about/household", "about/head_name", "about/event_date", "when/type", NARRATIVE)
            assertEquals(expected, asked.filter { it in expected })
            val type = form.question("when/type")
            assertTrue(type.required)
            assertEquals("走访类型", type.label)
            assertEquals("入户核查", type.choices.first { it.name == "verify" }.label)

            form.set("about/household", text("不是编号"))
            assertEquals("不是有效的档案标识", form.question("about/household").error)
            form.set("about/household", text(HOUSEHOLD))
            assertNull(form.question("about/household").error)
            form.set("about/head_name", text("才让卓玛"))

            // A value that breaks its type is not taken at all, and says so.
            val refused = assertThrows(FieldbookException.BadInput::class.java) {
                form.set("about/event_date", text("昨天"))
            }
            assertEquals("about/event_date", refused.path)
            assertTrue(refused.text.isNotBlank())
            assertEquals(refused.text, refused.words())

            val first = form.addRow("visitors")
            form.set("visitors[$first]/visitor", text("多杰"))
            form.set("when/type", text("verify"))
            assertEquals("入户核查须两人以上，请先补填走访人", form.question("when/type").error)
            val second = form.addRow("visitors")
            val answered = form.set("visitors[$second]/visitor", text("马秀英"))
            assertTrue("visitors[$second]/visitor" in answered.changed, "${answered.changed}")
            assertNull(form.question("when/type").error)
            val third = form.addRow("visitors")
            form.removeRow("visitors", third)
            form.set("situation/changes", """["income","illness"]""")
            val saved = form.save()
            form.close()

            val record = phone.book.record(saved.record)
            assertEquals(SyncState.SAVED_HERE, record.sync)
            assertEquals(emptyList<Problem>(), record.problems)
            val visitors = parsed(record.values).jsonObject.getValue("visitors").jsonArray
            assertEquals(listOf("多杰", "马秀英"), visitors.map { it.jsonObject.getValue("visitor").jsonPrimitive.content })
            assertEquals(listOf(saved.record), phone.book.list("visit", Filter(), Page()).map { it.id })

            assertEquals(1uL, phone.sync().changesSent)
            assertEquals(SyncState.ON_SERVER, phone.book.record(saved.record).sync)
            phone.book.openForm("visit", saved.record).use { it.submit() }
            assertEquals(RecordState.SUBMITTED, phone.book.record(saved.record).state)
        }
    }

    @Test
    fun `a disagreement is shown to both and decided by one`() {
        phone("one", "duojie").use { one ->
            phone("two", "maxiuying").use { two ->
                val id = savedVisit(one, "上午走访")
                one.sync()
                two.sync()
                assertEquals("上午走访", narrative(two.book.record(id)))
                assertTrue(two.book.search("才让").any { it.id == id })

                edited(one, id, "收入减少，申请生活救助")
                edited(two, id, "收入不变，孩子升学")
                one.sync()
                two.sync()
                one.sync()

                val both = setOf("多杰" to "收入减少，申请生活救助", "马秀英" to "收入不变，孩子升学")
                for (phone in listOf(one, two)) {
                    val conflicts = phone.book.record(id).conflicts
                    assertEquals(1, conflicts.size, "conflicts: $conflicts")
                    val conflict = conflicts.single()
                    assertEquals(NARRATIVE, conflict.path)
                    assertEquals("走访情况记录", conflict.label)
                    assertEquals(both, conflict.values.map { it.author to parsed(it.value).jsonPrimitive.content }.toSet())
                    assertEquals(1, conflict.values.count { it.own })
                    assertTrue(conflict.values.all { it.timeMs > 0 })
                    assertEquals(listOf(id), phone.book.list("visit", Filter(inConflict = true), Page()).map { it.id })
                }

                assertNotNull(two.book.resolve(id, NARRATIVE, text("收入减少，申请生活救助")))
                two.sync()
                one.sync()
                val (seen, decided) = one.book.record(id) to two.book.record(id)
                assertEquals(emptyList<Conflict>(), seen.conflicts)
                assertEquals(emptyList<Conflict>(), decided.conflicts)
                assertEquals("收入减少，申请生活救助", narrative(seen))
                assertEquals(parsed(seen.values), parsed(decided.values))
                assertEquals(seen.heads, decided.heads)
                for (record in listOf(seen, decided)) {
                    val written = record.history.flatMap { save ->
                        save.touched.filter { it.path == NARRATIVE }.map { save.author to parsed(it.value).jsonPrimitive.content }
                    }
                    assertTrue(written.containsAll(both), "history: $written")
                    assertTrue("马秀英" to "收入减少，申请生活救助" in written, "history: $written")
                }
            }
        }
    }

    @Test
    fun `a form that was left is taken up again after a restart`() {
        val before = phone("left", "duojie")
        before.book.openForm("visit").use { it.set(NARRATIVE, text("写了一半")) }
        before.reopened().use { phone ->
            val draft = phone.book.drafts().single()
            assertTrue(draft.isNew)
            phone.book.openForm(draft.kind, draft.record).use { form ->
                assertEquals("写了一半", parsed(form.question(NARRATIVE).value).jsonPrimitive.content)
                form.discard()
            }
            assertEquals(emptyList<Draft>(), phone.book.drafts())
        }
    }

    @Test
    fun `a person whom the phone knows is named while the ID number is typed`() {
        phone("knowing", "duojie").use { phone ->
            val known = phone.book.openForm("household").use { form ->
                form.set("head/name", text("才让卓玛"))
                form.set("head/id_type", text("id_card"))
                // Full-width digits as a Chinese keyboard may type them.
                val answered = form.set("head/id_no", text("６３２３２３１９８５０４１２００２ｘ"))
                assertTrue(answered.changed.containsAll(listOf("head/id_no", "head/sex", "head/birth_date")), "$answered")
                assertEquals(emptyList<PersonHit>(), answered.known)
                assertEquals(text("63232319850412002X"), form.question("head/id_no").value)
                assertEquals(text("1985-04-12"), form.question("head/birth_date").value)
                form.save().record
            }
            phone.book.openForm("household").use { form ->
                form.set("head/id_type", text("id_card"))
                val hit = form.set("head/id_no", text("63232319850412002X")).known.single()
                assertEquals(listOf(known, "household", "head/id_no"), listOf(hit.record, hit.kind, hit.path))
                assertEquals("才让卓玛", hit.name)
                val wrong = assertThrows(FieldbookException.Busy::class.java) {
                    phone.book.openForm("household", form.record())
                }
                assertEquals(form.record(), wrong.record)
                form.discard()
            }
        }
    }

    @Test
    fun `a link with another server's key is refused`() {
        Phone(folder.resolve("misled")).use { phone ->
            val link = server.link("duojie")
            val pin = link.substringAfter("pin=").substringBefore("&")
            val other = link.replace(pin, if (pin.startsWith("A")) "B" + pin.drop(1) else "A" + pin.drop(1))
            val refused = assertThrows(FieldbookException.ServerIdentity::class.java) { phone.book.enrol(other, "misled") }
            assertTrue("没有发送任何内容" in refused.text, refused.text)
            assertNull(phone.book.status().enrolment)
            // The code was never shown to the false server, so it still works.
            phone.book.enrol(link, "misled")
        }
    }

    @Test
    fun `a sync tells how it goes`() {
        phone("watched", "duojie").use { phone ->
            savedVisit(phone, "一")
            val listening = Listening()
            val report = phone.book.sync(listening, CancelHandle())
            val last = listening.heard.last()
            assertEquals(1uL, last.changesSent)
            assertEquals(0uL, last.changesWaiting)
            assertEquals(report.bytesUp to report.bytesDown, last.bytesUp to last.bytesDown)
            assertEquals(0uL, phone.book.status().outboxChanges)
        }
    }

    @Test
    fun `a sync stops when asked, and the next one goes on`() {
        Relay(server.port).use { line ->
            Phone(folder.resolve("stopped")).use { phone ->
                phone.book.enrol(server.link("duojie", line.address), "stopped")
                phone.sync()
                savedVisit(phone, "一")

                // Nothing but the cancel handle can end this sync before its long wait for an answer.
                line.silent = true
                val cancel = CancelHandle()
                val stopping = object : SyncListener {
                    override fun progress(progress: Progress) = cancel.cancel()
                }
                val stopped = assertThrows(FieldbookException.Cancelled::class.java) { phone.book.sync(stopping, cancel) }
                assertTrue("已停止" in stopped.text, stopped.text)
                assertTrue(cancel.isCancelled())
                assertEquals(1uL, phone.book.status().outboxChanges)

                line.silent = false
                assertEquals(1uL, phone.sync().changesSent)
                assertEquals(0uL, phone.book.status().outboxChanges)
            }
        }
    }

    @Test
    fun `what the app throws comes back as an error`() {
        phone("throwing", "duojie").use { phone ->
            savedVisit(phone, "一")
            val throwing = object : SyncListener {
                override fun progress(progress: Progress) = error("the screen is gone")
            }
            val failed = assertThrows(FieldbookException.Internal::class.java) { phone.book.sync(throwing, CancelHandle()) }
            assertTrue("the screen is gone" in failed.detail, failed.detail)
            assertEquals(0uL, phone.sync().conflicts)
            assertEquals(0uL, phone.book.status().outboxChanges)
        }
        val locked = object : KeyVault {
            override fun load(name: String): ByteArray? = error("locked")
            override fun store(name: String, secret: ByteArray) = error("locked")
            override fun remove(name: String) = error("locked")
        }
        val failed = assertThrows(FieldbookException.Internal::class.java) { Phone(folder.resolve("locked"), locked) }
        assertTrue("locked" in failed.detail, failed.detail)
    }

    @Test
    fun `a phone that has not enrolled says so`() {
        Phone(folder.resolve("new")).use { phone ->
            val refused = assertThrows(FieldbookException.NotEnrolled::class.java) { phone.sync() }
            assertTrue("还没有绑定" in refused.text)
            assertThrows(FieldbookException.BadInput::class.java) { phone.book.enrol("https://example.com", "new") }
            assertThrows(FieldbookException.NotFound::class.java) { phone.book.record(HOUSEHOLD) }
        }
        Fieldbook.open(folder.resolve("new-english").toFile().apply { mkdir() }.path, MemoryVault(), "en").use { book ->
            val unread = assertThrows(FieldbookException.BadInput::class.java) { book.record("first") }
            assertEquals("This is no id. Open it from the list again.", unread.words())
        }
    }
}
