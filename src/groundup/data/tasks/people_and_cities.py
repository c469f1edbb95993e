"""The names of people and of cities of which tasks are made. None is also another word in them."""

from __future__ import annotations

from groundup.data.tasks.word_lists import words

NAMES = words(
    """
    Aaron Abigail Adam Adele Adrian Agnes Ahmed Aidan Aisha Alan Albert Alex Alice Alison Amanda
    Amelia Amir Amy Andrea Andrew Angela Anita Anna Anthony Antonio Arthur Astrid Aylin Barbara
    Beatrice Ben Bernard Bianca Boris Brian Bridget Bruno Camila Carl Carla Carlos Carmen
    Caroline Cecilia Chiara Chris Clara Claire Colin Conrad Cynthia Dana Daniel Daria David
    Deborah Dennis Derek Diana Diego Dmitri Donald Donna Doris Dorothy Edgar Edith Edward Elena
    Elias Elizabeth Ella Ellen Elsa Emil Emily Emma Enzo Eric Erika Esther Ethan Eva Evelyn
    Fatima Felix Fiona Francis Fred Frida Gabriel Gary George Gerald Gina Gloria Gordon Greta
    Gustav Hannah Hans Harold Harry Hassan Hazel Heather Hector Heidi Helen Helga Henry Hilda
    Hugo Ian Ibrahim Igor Ines Ingrid Irene Iris Isaac Isabel Ivan Jacob James Jamila Jane Janet
    Jason Jean Jennifer Jeremy Jessica Joan Joel Johanna John Jonas Joseph Joshua Judith Julia
    Julian Karen Karim Karl Kate Katrin Keith Kenneth Kevin Kim Kurt Larry Laura Lauren Leah
    Lena Leo Leon Leonard Liam Linda Lisa Lois Louis Louise Lucas Lucy Luis Luke Lydia Magnus
    Malik Manuel Marcus Margaret Maria Marie Marion Marta Martha Martin Mary Matthew Maurice Max
    Maya Megan Melissa Mia Michael Miguel Mila Miriam Mohammed Monica Nadia Nancy Naomi Natalie
    Nathan Neil Nicholas Nina Noah Nora Norman Olga Oliver Olivia Omar Oscar Otto Pablo Pamela
    Patricia Patrick Paul Paula Pedro Peter Philip Phoebe Priya Rachel Ralph Ramon Raymond
    Rebecca Rita Robert Rodrigo Roger Ronald Rosa Rosemary Roy Ruth Ryan Sabrina Samir Samuel
    Sandra Sara Sean Sergio Sharon Sheila Silvia Simon Sofia Sonia Stefan Stella Stephen Steven
    Susan Sven Sylvia Tamara Tanya Tara Teresa Theo Thomas Tim Tina Tobias Todd Tom Tony Ulrich
    Ursula Valentina Vanessa Vera Veronica Victor Vincent Viktor Walter Wanda Wendy William Yara
    Yasmin Yusuf Yvonne Zoe
    """
)

CITIES = words(
    """
    Aarhus Aberdeen Accra Adelaide Algiers Amman Amsterdam Ankara Antwerp Athens Atlanta
    Auckland Avignon Baghdad Baku Baltimore Bangkok Barcelona Basel Beijing Beirut Belfast
    Belgrade Bergen Berlin Bern Bilbao Birmingham Bogota Bologna Bonn Bordeaux Boston Bremen
    Brighton Brisbane Bristol Brno Brussels Bucharest Budapest Cadiz Cairo Calgary Cambridge
    Canberra Cardiff Casablanca Chicago Cincinnati Cleveland Cologne Copenhagen Cordoba Cusco
    Dakar Dallas Damascus Darwin Debrecen Delhi Denver Detroit Dresden Dubai Dublin Dundee
    Durban Edinburgh Edmonton Erfurt Exeter Frankfurt Fresno Galway Gdansk Geneva Genoa Ghent
    Glasgow Granada Graz Grenoble Guadalajara Halifax Hamburg Hanoi Hanover Harare Havana
    Helsinki Hobart Honolulu Houston Innsbruck Istanbul Jakarta Jerusalem Johannesburg Kabul
    Karachi Kathmandu Kyiv Kingston Krakow Kyoto Lagos Lahore Lausanne Leeds Leipzig Lille Lima
    Limerick Linz Lisbon Liverpool Ljubljana London Lusaka Lyon Madrid Malaga Managua Manchester
    Manila Maputo Marrakesh Marseille Medellin Melbourne Memphis Miami Milan Minneapolis Minsk
    Modena Montreal Moscow Mumbai Munich Nairobi Nantes Naples Nashville Newcastle Nottingham
    Nuremberg Odense Oporto Orlando Osaka Oslo Ottawa Oxford Padua Palermo Paris Perth
    Philadelphia Phoenix Pisa Pittsburgh Plymouth Portland Portsmouth Prague Pretoria Quebec
    Quito Rabat Reykjavik Riga Rome Rotterdam Rouen Salzburg Santiago Sapporo Sarajevo Seattle
    Seoul Seville Shanghai Sheffield Singapore Skopje Stockholm Strasbourg Stuttgart Sydney
    Taipei Tallinn Tampa Tampere Tangier Tashkent Tehran Tirana Tokyo Toledo Toronto Toulouse
    Trieste Tripoli Trondheim Tucson Tunis Turin Turku Uppsala Utrecht Valencia Vancouver Venice
    Verona Vienna Vilnius Warsaw Washington Wellington Winnipeg Wroclaw York Zagreb Zaragoza
    Zurich
    """
)
